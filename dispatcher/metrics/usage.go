package metrics

import (
	"context"
	"sync"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/capi-dispatcher/capi-dispatcher/graph"
)

// usageHolds is how long what an answer said of a limit is shown: Meta's limits are
// those of the last hour.
const usageHolds = time.Hour

// usages are how much of Meta's limits is used up, as answers have said.
type usages struct {
	mu   sync.Mutex
	seen map[limit]usage
}

type limit struct {
	of   *Dataset
	name string
}

type usage struct {
	percent float64
	at      time.Time
}

func newUsages() *usages { return &usages{seen: make(map[limit]usage)} }

// note notes what an answer says of a limit; nothing is 0.
func (u *usages) note(of *Dataset, name string, percent float64, now time.Time) {
	if percent <= 0 {
		return
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	u.seen[limit{of, name}] = usage{percent, now}
}

// observe reports what still holds, and forgets the rest.
func (u *usages) observe(o metric.Float64Observer, now time.Time) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for l, seen := range u.seen {
		if now.Sub(seen.at) > usageHolds {
			delete(u.seen, l)
			continue
		}
		o.Observe(seen.percent, l.of.with(attribute.String("limit", l.name)))
	}
}

func (m *Meters) forUsage(in *instruments) {
	made(in, in.meter.Float64ObservableGauge)("capi.usage", metric.WithUnit("%"),
		metric.WithDescription("How much of a rate limit of Meta's was used up at the last answer, if that came within an hour, by limit: `dataset` or `app`"),
		metric.WithFloat64Callback(func(_ context.Context, o metric.Float64Observer) error {
			m.usages.observe(o, time.Now())
			return nil
		}))
}

// Usage notes what an answer says of Meta's limits, if it does. The datasets
// that share a label have no gauge: it would show the one that came last.
func (m *Meters) Usage(of *Dataset, usage *graph.Usage) {
	if of.label == Other {
		return
	}
	m.usages.note(of, "dataset", usage.Percent, time.Now())
	m.usages.note(of, "app", usage.App, time.Now())
}
