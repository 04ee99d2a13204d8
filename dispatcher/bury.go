package dispatcher

import (
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/deadletter"
	"github.com/capi-dispatcher/capi-dispatcher/graph"
	"github.com/capi-dispatcher/capi-dispatcher/graph/event"
)

// bury puts events into the dead-letter stream, for the reasons they carry.
func (d *Dispatcher) bury(entries []*entry) {
	now := time.Now()
	publications := make([]publication, len(entries))
	for i, e := range entries {
		publications[i] = publication{
			entry: e, msg: d.letterMessage(d.newLetter(e, now)),
			opts: []jetstream.PublishOpt{jetstream.WithMsgID("dead-" + e.id())},
		}
	}
	d.move(publications, deadLettered)
}

// dead decides that an event goes to the dead letters, and why.
func (e *entry) dead(reason deadletter.Reason, faults ...event.Fault) {
	e.reason, e.faults = reason, faults
}

func (d *Dispatcher) newLetter(e *entry, now time.Time) *deadletter.Letter {
	h := &e.history
	letter := &deadletter.Letter{
		Event: e.event.Raw, Dataset: e.lane.dataset,
		Reason: e.reason, Faults: e.faults, Graph: d.graphError(e.answer),
		Envelope: e.lane.envelope.Marshal(), DedupeID: h.dedupeID,
		Attempts: h.attempts, MaybeSent: h.maybeSent,
		FirstSeen: h.firstSeen, DeadLetteredAt: now,
		OriginSubject: h.originSubject, OriginSequence: h.originSequence,
		Trace: nats.Header{}, Claim: int64(h.replaces),
	}
	if e.claimed && h.maybeSent > 0 {
		letter.Claim = int64(e.message.owner())
	}
	injectTrace(e, letter.Trace)
	return letter
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
