package dispatcher

import (
	"time"

	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/breaker"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/deadletter"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/parked"
	"github.com/capi-dispatcher/capi-dispatcher/graph"
	"github.com/capi-dispatcher/capi-dispatcher/graph/event"
)

// Events wait for accounts that are not linked to their dataset, or whose dataset
// Meta does not tell. That may be for ever, so a person has to hear of it, and
// there may be a bound.

// waitForAccount sets an event aside until its account may be linked, unless it
// has waited for too long.
func (s *shipment) waitForAccount(e *entry, until time.Time) {
	waits, unlinked := s.withinPatience([]*entry{e})
	s.bury(unlinked)
	s.setAsideFor(waits, parked.Unlinked, until)
}

// withinPatience splits events by whether they may go on waiting for their account.
func (d *Dispatcher) withinPatience(entries []*entry) (waits, unlinked []*entry) {
	most := d.cfg.Delivery.UnlinkedMax
	for _, e := range entries {
		if most == 0 || d.clock.Now().Sub(e.history.since) < most {
			waits = append(waits, e)
			continue
		}
		e.dead(deadletter.Unlinked, event.Fault{
			Pointer: "/user_data", Code: "unlinked",
			Message: "the account has not been linked to the dataset, or not been found, for delivery.unlinked_max (" + most.String() + "); " +
				"link it, or name its dataset under assets, and replay the event",
		})
		unlinked = append(unlinked, e)
	}
	return waits, unlinked
}

// linked forgets the trouble of the accounts that events name, and returns whether
// there was any.
func (s *shipment) linked(entries []*entry) (any bool) {
	for _, e := range entries {
		any = s.accounts.RecordSuccess(e.account()) || any
	}
	return any
}

// account is what the breaker of accounts knows an event's by.
func (e *entry) account() breaker.Account {
	a := &e.event.Assets
	return breaker.Account{Dataset: e.lane.dataset, Page: a.Page, WhatsApp: a.WhatsApp, Instagram: a.Instagram}
}

// unfound is what it knows an account by whose dataset is not known yet.
func unfound(asset graph.Asset) breaker.Account {
	switch asset.Kind {
	case graph.WhatsAppAccount:
		return breaker.Account{WhatsApp: asset.ID}
	case graph.InstagramUser:
		return breaker.Account{Instagram: asset.ID}
	default:
		return breaker.Account{Page: asset.ID}
	}
}
