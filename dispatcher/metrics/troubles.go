package metrics

import (
	"cmp"
	"context"
	"errors"
	"slices"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/breaker"
)

// MaxNamed is how many troubles are named with their datasets.
const MaxNamed = 100

// ObserveTroubles adds gauges of the datasets in trouble: how many there are,
// and the names of the worst. known reports whether a dataset is more than a
// name that is made up.
func ObserveTroubles(meter metric.Meter, troubles func() []breaker.Trouble, known func(dataset string) bool) error {
	total, err := meter.Int64ObservableGauge("capi.datasets.troubled",
		metric.WithDescription("Datasets whose events wait, by reason"), metric.WithUnit("{dataset}"))
	named, err2 := meter.Int64ObservableGauge("capi.dataset.paused",
		metric.WithDescription("1 for a dataset whose events wait, by reason, and by whether the dataset is known; of the 100 that have waited for longest, known ones first"))
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
				attribute.String("dataset", t.Dataset), attribute.String("reason", string(t.Reason)),
				attribute.Bool("known", known(t.Dataset))))
		}
		return nil
	}, total, named)
	return err
}

// merge makes one trouble of several that a dataset has for the same reason.
func merge(troubles []breaker.Trouble) []breaker.Trouble {
	slices.SortFunc(troubles, func(a, b breaker.Trouble) int {
		return cmp.Or(cmp.Compare(a.Dataset, b.Dataset), cmp.Compare(a.Reason, b.Reason), a.Began.Compare(b.Began))
	})
	return slices.CompactFunc(troubles, func(a, b breaker.Trouble) bool {
		return a.Dataset == b.Dataset && a.Reason == b.Reason
	})
}

// countByReason has a count for each reason, so that none goes away unseen.
func countByReason(troubles []breaker.Trouble) map[breaker.Reason]int64 {
	counts := make(map[breaker.Reason]int64)
	for _, reason := range breaker.Reasons() {
		counts[reason] = 0
	}
	for _, t := range troubles {
		counts[t.Reason]++
	}
	return counts
}

// worst returns the troubles to be named: those of known datasets first, so
// that made-up names cannot crowd them out; then the oldest.
func worst(troubles []breaker.Trouble, known func(dataset string) bool) []breaker.Trouble {
	slices.SortFunc(troubles, func(a, b breaker.Trouble) int {
		return cmp.Or(a.Began.Compare(b.Began), cmp.Compare(a.Dataset, b.Dataset), cmp.Compare(a.Reason, b.Reason))
	})
	var named, others []breaker.Trouble
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
