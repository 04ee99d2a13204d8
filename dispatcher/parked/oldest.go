package parked

import (
	"sync"
	"time"
)

// Kind is what events that wait have in common.
type Kind struct {
	Reason Reason
	Known  bool // their dataset is, and not just a name that is made up
}

// Ages are the extremes among events that wait.
type Ages struct {
	Kind

	Since   time.Time // when the oldest was published
	Expires time.Time // when the first of them is too old for Meta
}

// Oldest knows of the oldest events that wait. It need not look at the stream: an
// event comes back within the longest wait, and is parked again by one of the
// workers if it goes on waiting. So what has been parked within that time is all
// there is. An event that has got through meanwhile is known for up to twice as
// long. Oldest is safe for concurrent use.
type Oldest struct {
	span time.Duration

	mu           sync.Mutex
	turned       time.Time
	recent, past map[Kind]Ages
}

// NewOldest returns one that knows of nothing, for such waits.
func NewOldest(waits Waits) *Oldest {
	return &Oldest{span: waits.longest(), recent: make(map[Kind]Ages)}
}

// Note notes an event that is parked.
func (o *Oldest) Note(e Ages) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.turn(time.Now())
	o.recent[e.Kind] = extremes(o.recent[e.Kind], e)
}

// All returns what is known, by kind.
func (o *Oldest) All() []Ages {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.turn(time.Now())
	merged := make(map[Kind]Ages, len(o.recent))
	for _, span := range []map[Kind]Ages{o.recent, o.past} {
		for kind, ages := range span {
			merged[kind] = extremes(merged[kind], ages)
		}
	}
	all := make([]Ages, 0, len(merged))
	for _, ages := range merged {
		all = append(all, ages)
	}
	return all
}

// Clear forgets everything: nothing waits.
func (o *Oldest) Clear() {
	o.mu.Lock()
	defer o.mu.Unlock()
	clear(o.recent)
	o.past = nil
}

// turn forgets what was parked so long ago that it has come back.
func (o *Oldest) turn(now time.Time) {
	if now.Sub(o.turned) < o.span {
		return
	}
	o.past = o.recent
	if now.Sub(o.turned) >= 2*o.span {
		o.past = nil
	}
	o.recent, o.turned = make(map[Kind]Ages), now
}

// extremes are those of two, of which the first may be none yet.
func extremes(a, b Ages) Ages {
	if a.Since.IsZero() {
		return b
	}
	return Ages{Kind: b.Kind, Since: earlier(a.Since, b.Since), Expires: earlier(a.Expires, b.Expires)}
}
