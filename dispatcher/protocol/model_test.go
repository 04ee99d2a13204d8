// Package protocol_test has the claim protocol as a state machine, small enough
// to try everything: two copies of one event, what is parked or replayed of
// them, two workers, one key in Redis, one Meta. Each step is one command to a
// server, one answer, or one thing that goes wrong; steps interleave in every
// order. What a step does is what deliver.go, settle.go and exits.go of package
// dispatcher and packages claims and lease do, and the Redis part is held
// against the real Store (redis_test.go).
package protocol_test

import "fmt"

const (
	workers = 2
	slots   = 4 // messages: two copies, and what comes of them
)

// owner is a key's value: nothing, a message (from 1), a worker (in a variant),
// or the marker of a sent event.
type owner uint8

const (
	nobody   owner = 0
	someWork owner = 10
	sentMark owner = 99
)

// holder is which delivery of its owner has the key: the one that this worker
// (from 1) has in flight, or one that nobody has in flight any more.
type holder uint8

// age is how old a claim is.
type age uint8

const (
	young    age = iota
	released     // older than a claim's lease
	vanished     // older than the takeover time
)

// place is where a message is.
type place uint8

const (
	absent  place = iota
	overdue       // parked, and the server does not bring it back
	ready         // for any worker
	out           // with a worker whose lease counts
	gone
)

// letterKind is what the dead-letter stream has of a message.
type letterKind uint8

const (
	noLetter letterKind = iota
	sureLetter
	maybeLetter // the event may have been sent
)

type message struct {
	at       place
	again    bool  // delivered before; where that matters, for replayed letters
	maybe    uint8 // unknown outcomes, as written on a parked event
	letter   letterKind
	copied   bool  // its parked copy is stored: once, by its message id
	replaces owner // the claim that a replayed letter has kept
}

// stage is how far a worker is with a message.
type stage uint8

const (
	idle       stage = iota
	following        // the same identity is in flight already
	claiming         // about to ask Redis
	claimed          // may be sent
	posting          // the request is written
	posted           // Meta has accepted, the answer is under way
	confirming       // the answer is read
	settling         // about to acknowledge
	burying          // about to publish a dead letter
	parking          // about to publish a parked copy
	buried           // about to deal with the claim
	moved            // likewise, parked
	leaving          // about to acknowledge what has been moved
	returning        // about to give up the claim of what goes back
	handing          // about to nak
)

// hand is a message in a worker's hand.
type hand struct {
	at          stage
	live        bool // its lease
	redelivered bool
	owned       bool // it may have the claim
	certain     bool // it had, when Redis last answered
	old         bool // it has had it for too long to begin a request
	behind      bool // a later delivery of the same message follows it
	maybe       uint8
}

// world is a state of everything.
type world struct {
	key, replica redisKey
	messages     [slots]message
	hands        [workers][slots]hand
	leads        [workers]uint8 // the slot that leads, from 1
	later        [workers]bool  // a confirmation is to be made up for
	premature    bool           // somebody has claimed it before that
	stranger     stranger
	accepted     uint8
	hidden       uint8 // acceptances that Redis was not told of in time
	excused      uint8 // failovers, and letters replayed that may have been sent
	faults       uint8 // so far
	spent        [faultKinds]uint8
}

// fault is what may go wrong, or what somebody outside may do.
type fault uint8

const (
	crash fault = iota
	ambiguous
	lostReply
	lostAck
	failover
	lapse
	hang
	vanish
	park
	giveBack
	refuse
	replay
	redisDown
	early
	recreate
	storeFull
	faultKinds
)

func (f fault) String() string {
	return [...]string{
		"crash", "ambiguous", "lost reply", "lost acknowledgement", "failover", "lapse", "hang", "vanish", "park", "give back", "refuse", "replay", "Redis down", "early delivery", "recreate", "store full",
	}[f]
}

// protocol is what is tried: the code as it is, or a variant that is broken.
type protocol struct {
	deadLetter bool // on_unknown
	byTwo      bool // two people replay a letter at once
	maxUnknown uint8
	most       uint8 // faults together
	kinds      [faultKinds]uint8

	presence, markAfter, workerLeases, noDeadline, dropHeld, blindRelease, noRenewal, noHolders, freeDoubtful, unmarked, ackFirst, forgeable, byName, noSweep bool
}

// deed is who does what, to which message.
type deed struct {
	worker, message int8 // from 1
	does            string
}

func (d deed) String() string {
	switch {
	case d.worker == 0 && d.message == 0:
		return d.does
	case d.worker == 0:
		return fmt.Sprintf("message %d %s", d.message, d.does)
	case d.message == 0:
		return fmt.Sprintf("worker %d %s", d.worker, d.does)
	default:
		return fmt.Sprintf("worker %d, message %d: it %s", d.worker, d.message, d.does)
	}
}

// move is one step from a world to the next.
type move struct {
	deed
	normal bool // nothing goes wrong
	to     world
}

// step collects the moves out of a world.
type step struct {
	*protocol

	from            world
	worker, message int8 // who moves
	moves           []move
}

// do adds a move.
func (s *step) do(does string, change func(w *world)) { s.add(does, true, change) }

// wrong adds a move that is a fault, if there may be another.
func (s *step) wrong(kind fault, does string, change func(w *world)) {
	if s.from.faults >= s.most || s.from.spent[kind] >= s.kinds[kind] {
		return
	}
	s.add(does, false, func(w *world) {
		w.faults++
		w.spent[kind]++
		change(w)
	})
}

func (s *step) add(does string, normal bool, change func(w *world)) {
	to := s.from
	change(&to)
	if to != s.from {
		s.moves = append(s.moves, move{deed{s.worker, s.message, does}, normal, to})
	}
}

// next lists all moves out of a world.
func (p *protocol) next(from world) []move {
	s := &step{protocol: p, from: from}
	s.outside()
	for w := range workers {
		s.worker, s.message = int8(w+1), 0
		s.process(w)
		for m := range slots {
			s.message = int8(m + 1)
			s.hand(w, m)
		}
	}
	return s.moves
}

// outside is what servers and people do.
func (s *step) outside() {
	if s.kinds[failover] > s.from.spent[failover] {
		s.do("the replica catches up", func(w *world) { w.replica = w.key })
	}
	s.wrong(failover, "Redis fails over", func(w *world) { w.key, w.excused = w.replica, w.excused+1 })
	if k := s.from.key; k.owner != nobody && k.owner < someWork && k.age < vanished && (s.noDeadline || !s.sends(k.owner)) {
		s.do("the claim gets older", func(w *world) { w.growOld() })
	}
	if m := &s.from.messages[0]; m.at == ready || m.at == out {
		s.wrong(vanish, "the first message is purged", func(w *world) { w.messages[0].at = gone })
	}
	s.recreation()
	for m := range slots {
		if s.from.messages[m].at == overdue && !s.noSweep {
			s.message = int8(m + 1)
			s.do("is found to be overdue, and called back", func(w *world) { w.messages[m].at = ready })
			s.message = 0
		}
		if s.from.messages[m].at == out {
			s.message = int8(m + 1)
			s.wrong(early, "is delivered again before its time", func(w *world) { w.messages[m].at = ready })
			s.message = 0
		}
		if s.from.messages[m].letter != noLetter {
			s.message = int8(m + 1)
			s.wrong(replay, "has a dead letter, which is replayed", func(w *world) { s.replay(w, m) })
			s.message = 0
		}
	}
}

// growOld lets the claim's lease end, and then the takeover time.
func (w *world) growOld() {
	same := w.replica == w.key
	w.key.age++
	if same {
		w.replica.age++
	}
	for by := range workers {
		h := &w.hands[by][w.key.owner-1]
		h.old = h.owned
	}
}

// sends tells that a worker is just sending what the claim is for. A request
// and its confirmation take less than a claim's lease, unless the worker hangs.
func (s *step) sends(o owner) bool {
	for w := range workers {
		h := s.from.hands[w][o-1]
		if (h.at == posting || h.at == posted || h.at == confirming) && !h.old {
			return true
		}
	}
	return false
}

// replay makes a message of a letter, or two of them, which have one excuse.
func (s *step) replay(w *world, m int) {
	again := message{at: ready}
	if w.messages[m].letter == maybeLetter {
		w.excused++
		if !s.freeDoubtful {
			again.replaces = owner(m + 1)
		}
	}
	w.messages[m].letter = noLetter
	w.messages[w.free()] = again
	if s.byTwo {
		w.messages[w.free()] = again
	}
}

// free is a slot for a new message. There are enough for the faults allowed.
func (w *world) free() int {
	for m := range slots {
		if w.messages[m].at == absent {
			return m
		}
	}
	panic("more messages than slots: lower the numbers of faults")
}

// process is what happens to a worker as a whole.
func (s *step) process(w int) {
	if s.from.later[w] {
		s.do("makes up for the confirmation", func(to *world) { to.key.confirm(); to.later[w] = false })
	}
	if s.workerLeases && s.from.key.owner == someWork+owner(w) {
		s.do("loses its lease of the claim", func(to *world) { to.key = redisKey{} })
	}
	for m := range slots {
		if s.from.messages[m].at == ready && !s.from.hands[w][m].behind {
			s.message = int8(m + 1)
			s.do("is delivered", func(to *world) { to.deliver(w, m) })
			s.message = 0
		}
	}
	s.wrong(crash, "is killed", func(to *world) { to.kill(w, false) })
	for m := range slots {
		if s.from.hands[w][m].at == posting {
			s.wrong(crash, "is killed, and Meta accepts its request", func(to *world) { to.kill(w, true) })
		}
	}
}
