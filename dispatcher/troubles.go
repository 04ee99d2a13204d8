package dispatcher

import (
	"cmp"

	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/admission"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/breaker"
	"github.com/capi-dispatcher/capi-dispatcher/graph"
)

// reasonOf is why events wait after such a verdict.
func reasonOf(v graph.Verdict) breaker.Reason {
	switch v {
	case graph.Paused:
		return breaker.Paused
	case graph.Throttled:
		return breaker.Throttled
	case graph.Refused:
		return breaker.Refused
	default:
		return breaker.Failing
	}
}

// troubles lists the datasets whose events wait.
func (d *Dispatcher) troubles() []breaker.Trouble {
	accounts := d.accounts.Troubles()
	for i := range accounts {
		accounts[i].Dataset = cmp.Or(accounts[i].Dataset, admission.Auto)
	}
	return append(d.breaker.Troubles(), accounts...)
}
