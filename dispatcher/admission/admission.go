// Package admission decides about events by the configuration and the clock alone:
// where they go, and whether they may.
//
// Workers decide by it, and so do the verbs that say beforehand what a worker
// would do. What only servers know is left out: whether an event has been sent
// before, and what Meta says of it or of its account.
package admission

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/deadletter"
	"github.com/capi-dispatcher/capi-dispatcher/graph"
	"github.com/capi-dispatcher/capi-dispatcher/graph/event"
)

// Admission decides about events. It is safe for concurrent use.
type Admission struct {
	cfg     *Config
	maxBody int                     // bytes of a request
	asks    bool                    // Meta is asked for the datasets of accounts that are not configured
	sole    map[string]event.Assets // accounts to be filled in, by dataset; nil for none
}

// New returns the admission of a configuration. maxBody is the most bytes that a
// request may have; asks says that Meta is asked for the datasets of accounts that
// are not configured.
func New(cfg *Config, maxBody int, asks bool) *Admission {
	a := &Admission{cfg: cfg, maxBody: maxBody, asks: asks}
	if cfg.FillAccounts {
		a.sole = cfg.Assets.soleAccounts()
	}
	return a
}

// Decision is what becomes of an event. The zero value is that it is sent.
type Decision struct {
	// Reason is why the event is dead-lettered; "" if it is not.
	Reason deadletter.Reason
	// Faults say what is wrong with it, or why it has to wait.
	Faults []event.Fault
	// Wait is how long it waits for its time; 0 if that has come.
	Wait time.Duration
	// Warnings are of what may be a mistake, and stops nothing.
	Warnings []event.Fault
}

// Decide returns what a worker that takes a message up now would do with one of
// its events. to is the last word of the subject, a dataset id or [Auto]; with
// "" no dataset is named, and none is looked for. body is what the message says
// beside the event.
//
// What only servers know is left out: whether the event has been sent before,
// what Meta says of it or of its account, and whether it could be parked on a
// NATS server that takes no larger messages than requests.
func (a *Admission) Decide(to string, body event.Envelope, e *event.Event, now time.Time) Decision {
	var dataset string
	var fault *event.Fault
	if to != "" {
		dataset, _, fault = a.Route(to, "", e)
	}
	var warnings []event.Fault
	if dataset != "" {
		warnings = a.warnOfForeign(e, dataset)
		dataset, _ = a.OwnerOf(e, dataset)
	}
	decision := a.Check(e, a.Complete(BesideEvent(body, e), dataset), fault, now, now)
	decision.Warnings = warnings
	late := e.CheckTime(now)
	if late == nil || e.Time.IsZero() || decision.Wait > 0 || decision.hasTimeFault() {
		return decision
	}
	decision.Reason = cmp.Or(decision.Reason, deadletter.Expired)
	decision.Faults = append(slices.Clip(decision.Faults), *late)
	return decision
}

func (d *Decision) hasTimeFault() bool {
	for _, fault := range d.Faults {
		if fault.Pointer == "/event_time" {
			return true
		}
	}
	return false
}

// BesideEvent is what a request body says beside one of its events. A test code
// of the event's own goes before that of the body.
func BesideEvent(body event.Envelope, e *event.Event) event.Envelope {
	body.TestEventCode = cmp.Or(e.TestEventCode, body.TestEventCode)
	return body
}

// Complete adds to what is said beside the events what is configured for their
// dataset, then for all.
func (a *Admission) Complete(asked event.Envelope, dataset string) event.Envelope {
	if dataset == "" {
		return asked
	}
	configured := a.cfg.Datasets[dataset]
	asked.TestEventCode = cmp.Or(asked.TestEventCode, configured.TestEventCode)
	asked.PartnerAgent = cmp.Or(asked.PartnerAgent, configured.PartnerAgent, a.cfg.PartnerAgent)
	return asked
}

// Check decides about an event whose way is known, or known not to exist: then
// fault says why. Those that are too old are found later, right before sending:
// they may be copies of events that were sent in time.
func (a *Admission) Check(
	e *event.Event, envelope event.Envelope, fault *event.Fault, firstSeen, now time.Time,
) Decision {
	switch {
	case fault != nil:
		return dead(deadletter.NoDataset, append(slices.Clip(e.Faults), *fault)...)
	case len(e.Faults) > 0:
		return dead(deadletter.Invalid, e.Faults...)
	}
	if fault := a.checkRegion(e); fault != nil {
		return dead(deadletter.RestrictedRegion, *fault)
	}
	if fault := a.checkSize(e, envelope); fault != nil {
		return dead(deadletter.TooLarge, *fault)
	}
	return checkFuture(e, firstSeen, now)
}

func dead(reason deadletter.Reason, faults ...event.Fault) Decision {
	return Decision{Reason: reason, Faults: faults}
}

// checkSize turns an event away that does not fit a request even alone.
func (a *Admission) checkSize(e *event.Event, envelope event.Envelope) *event.Fault {
	if graph.Overhead(envelope)+len(e.Raw) <= a.maxBody {
		return nil
	}
	return &event.Fault{
		Code:    TooLarge,
		Message: fmt.Sprintf("the event alone makes a request larger than the %d bytes that it may have", a.maxBody),
	}
}

// TooLarge is the code of an event that does not fit where it has to go.
const TooLarge event.Code = "too_large"

// MaxSkew is how far ahead a producer's clock may be. An event from so near a
// future waits until its time has come; one from further ahead is a mistake.
const MaxSkew = 10 * time.Minute

// checkFuture keeps events back whose time has not come. What had happened when
// the server stored the event is not in the future, whatever any clock says
// since.
func checkFuture(e *event.Event, firstSeen, now time.Time) Decision {
	if !e.Time.After(firstSeen) {
		return Decision{}
	}
	fault, ahead := e.CheckTime(now), e.Time.Sub(now)
	switch {
	case fault == nil || fault.Code != event.InFuture:
		return Decision{}
	case ahead <= MaxSkew:
		return Decision{Faults: []event.Fault{*fault}, Wait: ahead + time.Second}
	default:
		return dead(deadletter.Invalid, *fault)
	}
}
