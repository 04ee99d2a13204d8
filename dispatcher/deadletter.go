package dispatcher

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/zap"

	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/deadletter"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/header"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/notices"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/outlet"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/streams"
	"github.com/capi-dispatcher/capi-dispatcher/graph"
	"github.com/capi-dispatcher/capi-dispatcher/graph/event"
	"github.com/capi-dispatcher/capi-dispatcher/graph/event/redact"
)

// deadLetters puts events into the dead-letter stream, and logs that it does.
type deadLetters struct {
	*run

	settler *settler
	outlet  *outlet.Outlet[leaving]
	tally   *notices.Tally[death, firstDeath]
}

// apart has each event leave by itself.
func apart(events []*inFlight) [][]*inFlight {
	groups := make([][]*inFlight, len(events))
	for i := range events {
		groups[i] = events[i : i+1 : i+1]
	}
	return groups
}

// bury puts groups of events into the dead-letter stream, a letter a group, for the
// reasons that they carry. A group's events come from one message and have the lane
// and the reason in common.
//
// The claim of a dead letter is given up, so that a corrected copy may pass; but
// that of one that may have been sent stays, or the next copy would be sent as if
// nothing had happened; replaying the letter passes it on.
func (l *deadLetters) bury(groups [][]*inFlight) {
	now := time.Now()
	publications := make([]*publication, len(groups))
	for i, group := range groups {
		letter := l.letterOf(group, now)
		publications[i] = &publication{
			For: leaving{events: group, letter: letter}, Msg: letter.Message(l.cfg.Streams.DeadLetterSubject, l.maxPayload()),
			Minimal: func() *nats.Msg { return letter.Minimal(l.cfg.Streams.DeadLetterSubject) },
			Opts:    []jetstream.PublishOpt{jetstream.WithMsgID(letter.id)},
		}
	}
	stored, refused := l.outlet.Publish(publications)
	l.end(stored, deadLettered)
	l.parkLetters(refused)
}

// end ends the stay of the events of letters that are stored, or at least parked.
func (l *deadLetters) end(letters []*publication, as fate) {
	l.noteDeaths(letters, as == deadLettered)
	traceDeaths(letters, as == deadLettered)
	dead := eventsOf(letters)
	l.settler.releaseUnsent(dead)
	l.settler.end(dead, outcome{fate: as})
}

// letterOf is the letter of a group of events: a new one, unless they have one.
func (l *deadLetters) letterOf(group []*inFlight, now time.Time) *undelivered {
	if on := group[0].letter; on != nil {
		return on
	}
	return &undelivered{Letter: l.newLetter(group, now), id: "dead-" + groupID(group)}
}

func (l *deadLetters) newLetter(group []*inFlight, now time.Time) *deadletter.Letter {
	e := group[0]
	h := &e.history
	data, envelope := pack(e.lane.envelope, group...)
	letter := &deadletter.Letter{
		Event: data, Envelope: envelope, Dataset: e.lane.dataset,
		Reason: e.reason, Faults: faultsOf(group), Graph: l.graphError(e.answer),
		DedupeID: h.dedupeID(),
		Attempts: h.attempts, MaybeSent: h.maybeSent,
		FirstSeen: h.firstSeen, DeadLetteredAt: now,
		OriginSubject: h.originSubject, OriginSequence: h.originSequence,
		Trace: nats.Header{}, Claim: int64(h.replaces),
	}
	if len(group) > 1 {
		letter.DedupeID, letter.Places, letter.ContentIDs = h.messageID, places(group), contentIDs(group)
		if letter.ContentIDs != nil {
			letter.DedupeID = "" // it would name one of several
		}
	}
	if e.claimed && h.maybeSent > 0 {
		letter.Claim = int64(e.message.owner())
	}
	l.injectTrace(e, letter.Trace)
	return letter
}

// places are where a group's events stood in the message that they came in.
func places(group []*inFlight) []int {
	places := make([]int, len(group))
	for i, e := range group {
		places[i] = e.history.place
	}
	return places
}

// faultsOf gathers the faults of a group: the first of each event, then the
// second of each, as many as are described of one event. Pointers of several
// events lead from the request body that the letter is.
func faultsOf(group []*inFlight) (faults []event.Fault) {
	if len(group) == 1 {
		return group[0].faults
	}
	left := 0
	for round, more := 0, true; more; round++ {
		more = false
		for i, e := range group {
			if round >= len(e.faults) {
				continue
			}
			more = true
			if len(faults) == event.MaxFaults {
				left++
				continue
			}
			fault := e.faults[round]
			fault.Pointer = fmt.Sprintf("/data/%d%s", i, fault.Pointer)
			faults = append(faults, fault)
		}
	}
	if left > 0 {
		faults = append(faults, event.MoreThan(left))
	}
	return faults
}

// graphError keeps of an answer what helps a person. Meta may quote the event, so
// its words are masked where personal data is not to be seen.
func (l *deadLetters) graphError(answer *graph.Answer) *deadletter.GraphError {
	if answer == nil {
		return nil
	}
	said, _ := redact.Text([]byte(answer.Detail()), l.deps.Secrets)
	kept := &deadletter.GraphError{Message: string(said), TraceID: answer.TraceID}
	if e := answer.Error; e != nil {
		kept.Code, kept.Subcode = e.Code, e.Subcode
		if l.cfg.Rules.HashPersonalData {
			kept.Message = answer.Reason() + "; Meta's own words, masked: " + string(event.Mask([]byte(e.Words())))
		}
	}
	return kept
}

// A log line says that there are dead letters, once a minute for each dataset
// and reason, so that an operator knows to read them.

const (
	deathsEvery = time.Minute
	deathKinds  = 1000
)

// death is what dead letters have in common.
type death struct {
	dataset string
	reason  deadletter.Reason
}

// firstDeath is what is told of the first of them: no value of the event's but
// its id, and nothing that Meta says, for that may quote values.
type firstDeath struct {
	event         string
	pointer, code string // of its first fault
	graph         *deadletter.GraphError
	number        uint64 // of the letter, if it is stored
}

// noteDeaths counts the events of new letters: those that are stored, or at least
// safely on their way.
func (l *deadLetters) noteDeaths(publications []*publication, stored bool) {
	for _, p := range publications {
		if p.For.events[0].letter != nil {
			continue // it was logged before
		}
		l.tally.Add(death{p.For.letter.Dataset, p.For.letter.Reason}, len(p.For.events), func() firstDeath {
			first := firstDeath{event: l.showable(p.For.events[0].event.ID), graph: p.For.letter.Graph}
			if len(p.For.letter.Faults) > 0 {
				first.pointer, first.code = shortID(p.For.letter.Faults[0].Pointer), string(p.For.letter.Faults[0].Code)
			}
			if stored {
				first.number = p.Number
			}
			return first
		})
	}
}

// showable is an event's id as the log may have it: hashed where personal data
// is, as it may be some.
func (l *deadLetters) showable(id string) string {
	if id == "" || !l.cfg.Rules.HashPersonalData {
		return shortID(id)
	}
	sum := sha256.Sum256([]byte(id))
	return "sha256-" + hex.EncodeToString(sum[:])
}

func (l *deadLetters) tellDeaths(lines []notices.Line[death, firstDeath]) {
	for _, line := range lines {
		first := line.First
		fields := []zap.Field{
			zap.Int("events", line.Count), zap.String("dataset", line.Kind.dataset),
			zap.String("reason", string(line.Kind.reason)),
		}
		if line.Others {
			fields = append(fields, zap.Bool("and_others", true))
		}
		if first.event != "" {
			fields = append(fields, zap.String("first_event_id", first.event))
		}
		if first.code != "" {
			fields = append(fields, zap.String("first_fault", first.code), zap.String("first_fault_at", first.pointer))
		}
		if first.graph != nil {
			fields = append(fields, zap.Int("code", first.graph.Code), zap.Int("subcode", first.graph.Subcode))
		}
		if first.number != 0 {
			fields = append(fields, zap.Uint64("first_letter", first.number))
		}
		l.log.Warn("events are dead letters", fields...)
	}
}

// A dead letter that its stream refuses, because that is full, missing or denied
// to us, is parked as it is. When it comes back, it is tried again as the letter
// that it is: its events are decided about, and not sent any more. Left among
// the events, they would be sent again and again, and keep others from coming.

// undelivered is a dead letter on its way.
type undelivered struct {
	*deadletter.Letter

	// id is the message id of the letter: there is one, however often it is tried.
	id    string
	tries int // how often it has been parked
}

// deadWord stands before the dataset in the subjects of letters that are parked.
// It keeps them apart from the dataset's events, which are called back; and
// workers that know of no such letters take it for no dataset, so that they do
// not send what is in one.
const deadWord = "dead"

// parkLetters parks letters that the stream of dead letters has refused. What
// cannot be parked either stays where it is.
func (l *deadLetters) parkLetters(refused []*publication) {
	if len(refused) == 0 {
		return
	}
	now := time.Now()
	waiting := make([]*publication, len(refused))
	for i, p := range refused {
		waiting[i] = l.waitingLetter(p, now)
	}
	stored, refused := l.settler.parking.Publish(waiting)
	l.end(stored, postponed)
	l.settler.leaveThere(refused)
}

// waitingLetter is a letter as a message that waits.
func (l *deadLetters) waitingLetter(p *publication, now time.Time) *publication {
	const headers = 1 << 10 // of the schedule, and ours, beside the letter's
	letter, id := p.For.letter, groupID(p.For.events)
	to := deadWord + "." + cmp.Or(letter.Dataset, deadletter.NoDatasetWord)
	msg := letter.Message(l.cfg.Streams.DeadLetterSubject, l.maxPayload()-headers)
	msg.Subject = l.parkedSubjects().Wait(to, id)
	msg.Header.Set(header.Undelivered, letter.id)
	msg.Header.Set(header.Parked, strconv.Itoa(letter.tries+1))
	return &publication{For: p.For, Msg: msg, Opts: append(
		l.parkedSubjects().Schedule(to, now.Add(l.letterDelay(letter.tries)).Truncate(time.Second).Add(time.Second)),
		jetstream.WithMsgID("park-dead-"+id),
	)}
}

// letterDelay is how long a letter waits for the next try. That has to be while
// the stream still knows the message id: the letter may have been stored, and
// the answer have got lost.
func (l *deadLetters) letterDelay(tries int) time.Duration {
	return min(l.cfg.Delivery.Park.Delay(tries), streams.LettersDuplicates/2)
}

// inTime splits events by whether Meta would still take them: one event too
// old would sink the whole request.
func inTime(events []*inFlight, now time.Time) (fresh, late []*inFlight) {
	for _, e := range events {
		if now.After(e.event.ExpiresAt()) {
			late = append(late, e)
		} else {
			fresh = append(fresh, e)
		}
	}
	return fresh, late
}

// expire dead-letters events for their age. They have been claimed, so they
// are no copies of events that were sent in time.
func (s *settler) expire(events []*inFlight) {
	now := s.clock.Now()
	for _, e := range events {
		e.markDead(deadletter.Expired)
		if fault := e.event.CheckTime(now); fault != nil {
			e.markDead(deadletter.Expired, *fault)
		}
	}
	s.settle(events, outcome{fate: deadLettered})
}

// withinPatience splits events by whether they may go on waiting for their account.
func (s *settler) withinPatience(events []*inFlight) (waits, unlinked []*inFlight) {
	most := s.cfg.Delivery.UnlinkedMax
	for _, e := range events {
		if most == 0 || s.clock.Now().Sub(e.history.since) < most {
			waits = append(waits, e)
			continue
		}
		e.markDead(deadletter.Unlinked, event.Fault{
			Pointer: "/user_data", Code: "unlinked",
			Message: "the account has not been linked to the dataset, or not been found, for " + most.String() +
				", and events wait no longer for that; link it, or name its dataset under assets, and replay the event",
		})
		unlinked = append(unlinked, e)
	}
	return waits, unlinked
}
