package breaker

import "time"

// Reason is why a dataset's events wait.
type Reason string

// The reasons.
const (
	Paused    Reason = "paused"    // its token is dead, or a permission is missing
	Throttled Reason = "throttled" // a limit of Meta's is reached, or near
	Failing   Reason = "failing"   // requests do not work, or it is not known whether they did
	Refused   Reason = "refused"   // every event is, so a setting may be to blame
	Unlinked  Reason = "unlinked"  // accounts are not linked to it
)

// Reasons returns every reason.
func Reasons() []Reason { return []Reason{Paused, Throttled, Failing, Refused, Unlinked} }

// Trouble is what keeps a dataset's events waiting.
type Trouble struct {
	Dataset string // "" where it is that an account's is not known
	Reason  Reason
	Began   time.Time
}

// Troubles returns the troubles of datasets that are in trouble themselves, or
// wait for their app. Each lasts until a request succeeds, or for three minutes
// after its time was up. A dataset may have two.
func (b *Breaker) Troubles() (all []Trouble) {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := time.Now()
	for k, c := range b.circuits {
		if !c.lasts(now) {
			continue
		}
		for _, dataset := range c.waiting(k) {
			all = append(all, Trouble{Dataset: dataset, Reason: c.reason, Began: c.began})
		}
	}
	return all
}

// waiting returns the datasets that wait for the circuit to close.
func (c *circuit) waiting(k key) []string {
	if !k.isApp {
		return []string{k.id}
	}
	datasets := make([]string, 0, len(c.turnedAway))
	for dataset := range c.turnedAway {
		datasets = append(datasets, dataset)
	}
	return datasets
}
