package dispatcher

import (
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/deadletter"
	"github.com/capi-dispatcher/capi-dispatcher/graph"
	"github.com/capi-dispatcher/capi-dispatcher/graph/event"
)

// bury puts events into the dead-letter stream, a letter each, for the reasons
// they carry.
func (d *Dispatcher) bury(entries []*entry) {
	groups := make([][]*entry, len(entries))
	for i := range entries {
		groups[i] = entries[i : i+1 : i+1]
	}
	d.buryTogether(groups)
}

// buryTogether puts groups of events into the dead-letter stream, a letter a
// group. A group's events come from one message and have the lane and the
// reason in common.
//
// The claim of a dead letter is given up, so that a corrected copy may pass; but
// that of one that may have been sent stays, or the next copy would be sent as if
// nothing had happened; replaying the letter passes it on.
func (d *Dispatcher) buryTogether(groups [][]*entry) {
	now := time.Now()
	publications := make([]*publication, len(groups))
	for i, group := range groups {
		letter := d.letterOf(group, now)
		publications[i] = &publication{
			For: leaving{entries: group, letter: letter}, Msg: letter.Message(d.cfg.Streams.DeadLetterSubject, d.maxPayload()),
			Minimal: func() *nats.Msg { return letter.Minimal(d.cfg.Streams.DeadLetterSubject) },
			Opts:    []jetstream.PublishOpt{jetstream.WithMsgID(letter.id)},
		}
	}
	stored, refused := d.letters.Publish(publications)
	d.settleLetters(stored, deadLettered)
	d.parkLetters(refused)
}

// settleLetters settles the events of letters that are stored, or at least parked.
func (d *Dispatcher) settleLetters(letters []*publication, as outcome) {
	d.noteDeaths(letters, as == deadLettered)
	dead := entriesOf(letters)
	d.releaseUnsent(dead)
	d.settleAll(dead, as)
}

// letterOf is the letter of a group of events: a new one, unless they have one.
func (d *Dispatcher) letterOf(group []*entry, now time.Time) *undelivered {
	if on := group[0].letter; on != nil {
		return on
	}
	return &undelivered{Letter: d.newLetter(group, now), id: "dead-" + groupID(group)}
}

// dead decides that an event goes to the dead letters, and why.
func (e *entry) dead(reason deadletter.Reason, faults ...event.Fault) {
	e.reason, e.faults = reason, faults
}

func (d *Dispatcher) newLetter(group []*entry, now time.Time) *deadletter.Letter {
	e := group[0]
	h := &e.history
	data, envelope := pack(e.lane.envelope, group...)
	letter := &deadletter.Letter{
		Event: data, Envelope: envelope, Dataset: e.lane.dataset,
		Reason: e.reason, Faults: faultsOf(group), Graph: d.graphError(e.answer),
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
	injectTrace(e, letter.Trace)
	return letter
}

// places are where a group's events stood in the message that they came in.
func places(group []*entry) []int {
	places := make([]int, len(group))
	for i, e := range group {
		places[i] = e.history.place
	}
	return places
}

// faultsOf gathers the faults of a group: the first of each event, then the
// second of each, as many as are described of one event. Pointers of several
// events lead from the request body that the letter is.
func faultsOf(group []*entry) (faults []event.Fault) {
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
func (d *Dispatcher) graphError(answer *graph.Answer) *deadletter.GraphError {
	if answer == nil {
		return nil
	}
	said, _ := event.Redact([]byte(answer.Detail()), d.deps.Secrets)
	kept := &deadletter.GraphError{Message: string(said), TraceID: answer.TraceID}
	if e := answer.Error; e != nil {
		kept.Code, kept.Subcode = e.Code, e.Subcode
		if d.cfg.Rules.HashPersonalData {
			kept.Message = answer.Reason() + "; Meta's own words, masked: " + string(event.Mask([]byte(e.Words())))
		}
	}
	return kept
}
