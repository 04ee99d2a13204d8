package metrics

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
)

// MaxNamed is how many troubles are named with their datasets.
const MaxNamed = 100

// Reason is why a dataset's events wait.
type Reason string

// The reasons.
const (
	Paused    Reason = "paused"    // its token is dead, or a permission is missing
	Throttled Reason = "throttled" // a limit of Meta's is reached, or near
	Failing   Reason = "failing"   // requests do not work, or nobody knows whether they did
	Refused   Reason = "refused"   // every event is, and that is hardly their fault
	Unlinked  Reason = "unlinked"  // accounts are not linked to it
)

// Reasons lists every reason.
func Reasons() []Reason { return []Reason{Paused, Throttled, Failing, Refused, Unlinked} }

// Trouble is what keeps a dataset's events waiting.
type Trouble struct {
	Dataset string
	Reason  Reason
	Began   time.Time
}

// ObserveTroubles adds gauges of the datasets in trouble: how many there are,
// and the names of the worst. known reports whether a dataset is more than a
// name that is made up.
func ObserveTroubles(meter metric.Meter, troubles func() []Trouble, known func(dataset string) bool) error {
	total, err := meter.Int64ObservableGauge("capi.datasets.troubled",
		metric.WithDescription("Datasets whose events wait, by reason"), metric.WithUnit("{dataset}"))
	named, err2 := meter.Int64ObservableGauge("capi.dataset.paused",
		metric.WithDescription("1 for a dataset whose events wait, by reason; of the 100 that have waited for longest, known ones first"))
	if err := errors.Join(err, err2); err != nil {
		return err
	}
	_, err = meter.RegisterCallback(func(_ context.Context, o metric.Observer) error {
		distinct := merge(troubles())
		for reason, count := range countByReason(distinct) {
			o.ObserveInt64(total, count, metric.WithAttributes(attribute.String("reason", string(reason))))
		}
		for _, t := range worst(distinct, known) {
			o.ObserveInt64(named, 1, metric.WithAttributes(
				attribute.String("dataset", t.Dataset), attribute.String("reason", string(t.Reason))))
		}
		return nil
	}, total, named)
	return err
}

// merge makes one trouble of several that a dataset has for the same reason.
func merge(troubles []Trouble) []Trouble {
	slices.SortFunc(troubles, func(a, b Trouble) int {
		return cmp.Or(cmp.Compare(a.Dataset, b.Dataset), cmp.Compare(a.Reason, b.Reason), a.Began.Compare(b.Began))
	})
	return slices.CompactFunc(troubles, func(a, b Trouble) bool { return a.Dataset == b.Dataset && a.Reason == b.Reason })
}

// countByReason has a count for each reason, so that none goes away unseen.
func countByReason(troubles []Trouble) map[Reason]int64 {
	counts := make(map[Reason]int64)
	for _, reason := range Reasons() {
		counts[reason] = 0
	}
	for _, t := range troubles {
		counts[t.Reason]++
	}
	return counts
}

// worst are the troubles to be named: those of known datasets first, so that
// nobody can hide them behind names that are made up; then the oldest.
func worst(troubles []Trouble, known func(dataset string) bool) []Trouble {
	slices.SortFunc(troubles, func(a, b Trouble) int {
		return cmp.Or(a.Began.Compare(b.Began), cmp.Compare(a.Dataset, b.Dataset), cmp.Compare(a.Reason, b.Reason))
	})
	var named, others []Trouble
	for _, t := range troubles {
		if known(t.Dataset) {
			named = append(named, t)
		} else {
			others = append(others, t)
		}
	}
	named = append(named, others...)
	return named[:min(len(named), MaxNamed)]
}
