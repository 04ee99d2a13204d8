package dispatcher

import (
	"strings"
	"sync"
	"time"

	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/metrics"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/retry"
	"github.com/capi-dispatcher/capi-dispatcher/graph"
)

// accounts keeps pages and business accounts that are not linked to their
// dataset from being tried over and over, while the dataset's others go on.
type accounts struct {
	pauses retry.Backoff

	mu     sync.Mutex
	states map[string]*trouble // only of those in trouble
}

func newAccounts(pauses retry.Backoff) *accounts {
	return &accounts{pauses: pauses, states: make(map[string]*trouble)}
}

func accountKey(e *entry) string {
	a := &e.event.Assets
	return e.lane.dataset + "/" + a.Page + "/" + a.WhatsApp + "/" + a.Instagram
}

// failed bars the account that an event names, and tells until when.
func (a *accounts) failed(e *entry, answer *graph.Answer) time.Time {
	a.mu.Lock()
	defer a.mu.Unlock()
	now, state := time.Now(), a.state(accountKey(e), e.lane.dataset)
	state.blame(metrics.Unlinked, now)
	if !now.Before(state.until) {
		state.failures++
		state.until = now.Add(max(askedDelay(*answer), a.pauses.Delay(state.failures-1)))
	}
	state.since = now
	return state.until
}

// state returns what is kept of a dataset's account, and forgets another when
// there are too many.
func (a *accounts) state(key, dataset string) *trouble {
	if state := a.states[key]; state != nil {
		return state
	}
	if len(a.states) >= maxTroubles {
		delete(a.states, a.victim(dataset))
	}
	state := &trouble{}
	a.states[key] = state
	return state
}

// victim is whose trouble is forgotten for another of a dataset's: one of the
// same dataset's, if there is one. Accounts that somebody makes up cost only
// their own dataset.
func (a *accounts) victim(dataset string) (key string) {
	for key = range a.states {
		if strings.HasPrefix(key, dataset+"/") {
			return key
		}
	}
	return key
}

// until tells until when the account that an event names is not to be tried;
// zero if it may be. An event that was called back since the account failed
// brings the news that it is linked.
func (a *accounts) until(e *entry) time.Time {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.states) == 0 {
		return time.Time{}
	}
	state := a.states[accountKey(e)]
	if state == nil || !time.Now().Before(state.until) || e.history.recalled.After(state.since) {
		return time.Time{}
	}
	return state.until
}

// succeeded forgets the trouble of the accounts that events name, and tells
// whether there was any.
func (a *accounts) succeeded(entries []*entry) (any bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, e := range entries {
		if len(a.states) == 0 {
			break
		}
		key := accountKey(e)
		if _, ok := a.states[key]; ok {
			delete(a.states, key)
			any = true
		}
	}
	return any
}
