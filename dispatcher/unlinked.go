package dispatcher

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/deadletter"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/health"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/metrics"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/parked"
	"github.com/capi-dispatcher/capi-dispatcher/graph"
	"github.com/capi-dispatcher/capi-dispatcher/graph/event"
)

// Events wait for accounts that are not linked to their dataset, or whose dataset
// Meta does not tell. That may be for ever, so a person has to hear of it, and
// there may be a bound.

// unlinkedWorries is how long an account is waited for before a person should look.
const unlinkedWorries = time.Hour

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

// notFound notes that Meta does not tell an account's dataset.
func (a *accounts) notFound(asset graph.Asset, until time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	state, now := a.state(lookupKey(asset), Auto), time.Now()
	state.blame(metrics.Unlinked, now)
	state.until, state.since = until, now
}

// found forgets that an account's dataset was not known.
func (a *accounts) found(asset graph.Asset) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.states, lookupKey(asset))
}

// lookupKey is the key of an account whose dataset is not known yet.
func lookupKey(asset graph.Asset) string { return Auto + "/" + asset.String() }

// condition says which accounts have been waited for for long.
func (a *accounts) condition(now time.Time) health.Condition {
	a.mu.Lock()
	defer a.mu.Unlock()
	const named = 5
	c := health.Condition{Name: "accounts", OK: true, Warning: true}
	var names []string
	for key, state := range a.states {
		if !state.lasts(now) || now.Sub(state.began) < unlinkedWorries {
			continue
		}
		names = append(names, accountName(key))
		if c.OK || state.began.Before(c.Since) {
			c.OK, c.Since = false, state.began
		}
	}
	slices.Sort(names)
	if more := len(names) - named; more > 0 {
		names = append(names[:named], fmt.Sprintf("%d more", more))
	}
	if !c.OK {
		c.Reason = "for more than an hour, events have waited for accounts that are not linked or not found: " + strings.Join(names, ", ")
	}
	return c
}

// accountName is what a person is told of an account.
func accountName(key string) string {
	dataset, account, _ := strings.Cut(key, "/")
	if dataset == Auto {
		return account
	}
	ids := strings.Split(account, "/")
	var parts []string
	for i, kind := range []string{"page ", "WhatsApp Business Account ", "Instagram account "} {
		if i < len(ids) && graph.IsID(ids[i]) { // anybody may have written the others
			parts = append(parts, kind+ids[i])
		}
	}
	return cmp.Or(strings.Join(parts, " and "), "an account without a usable id") + " of dataset " + dataset
}
