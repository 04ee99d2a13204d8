package storage

import (
	"context"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
)

// Observe reports what was seen last. The labels are the streams' and the
// account's, and one dataset's at a time: that of the largest share.
func (w *Watch) Observe(meter metric.Meter) error {
	used, err := meter.Int64ObservableGauge("capi.store.used", metric.WithUnit("By"),
		metric.WithDescription("Bytes that a stream, or the account, holds"))
	if err != nil {
		return err
	}
	limit, err := meter.Int64ObservableGauge("capi.store.limit", metric.WithUnit("By"),
		metric.WithDescription("Bytes that a stream, or the account, may hold; none where there is no limit"))
	if err != nil {
		return err
	}
	largest, err := meter.Float64ObservableGauge("capi.store.largest_share",
		metric.WithDescription("Part of the messages in a stream that runs full which are for the dataset with the most"))
	if err != nil {
		return err
	}
	_, err = meter.RegisterCallback(func(_ context.Context, o metric.Observer) error {
		w.mu.Lock()
		defer w.mu.Unlock()
		for _, s := range w.stores {
			label := attribute.String("store", s.label)
			o.ObserveInt64(used, int64(s.used), metric.WithAttributes(label))
			if s.limit > 0 {
				o.ObserveInt64(limit, int64(s.limit), metric.WithAttributes(label))
			}
			if s.share.dataset != "" {
				o.ObserveFloat64(largest, s.share.part, metric.WithAttributes(label, attribute.String("dataset", s.share.dataset)))
			}
		}
		return nil
	}, used, limit, largest)
	return err
}
