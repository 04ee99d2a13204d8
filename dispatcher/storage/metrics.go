package storage

import (
	"context"
	"errors"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
)

// gauges are what is reported of stores.
type gauges struct {
	used, limit, messages, backlog metric.Int64ObservableGauge
	largest, oldest                metric.Float64ObservableGauge
	published                      metric.Int64ObservableCounter
}

// Observe reports what was seen last, with ages as of now on the server's clock. The
// labels are the streams' and the account's, and one dataset's at a time: that of
// the largest share.
func (w *Watch) Observe(meter metric.Meter, now func() time.Time) error {
	g, err := newGauges(meter)
	if err != nil {
		return err
	}
	_, err = meter.RegisterCallback(func(_ context.Context, o metric.Observer) error {
		w.mu.Lock()
		defer w.mu.Unlock()
		for i := range w.stores {
			g.observe(o, &w.stores[i], now())
		}
		return nil
	}, g.used, g.limit, g.largest, g.messages, g.published, g.backlog, g.oldest)
	return err
}

func newGauges(meter metric.Meter) (g gauges, err error) {
	var errs [7]error
	g.used, errs[0] = meter.Int64ObservableGauge("capi.store.used", metric.WithUnit("By"),
		metric.WithDescription("Bytes that a stream, or the account, holds"))
	g.limit, errs[1] = meter.Int64ObservableGauge("capi.store.limit", metric.WithUnit("By"),
		metric.WithDescription("Bytes that a stream, or the account, may hold; none where there is no limit"))
	g.largest, errs[2] = meter.Float64ObservableGauge("capi.store.largest_share", metric.WithUnit("1"),
		metric.WithDescription("Part of the messages in a stream that runs full which are for the dataset with the most"))
	g.messages, errs[3] = meter.Int64ObservableGauge("capi.store.messages", metric.WithUnit("{message}"),
		metric.WithDescription("Messages that a stream holds: of `parked`, what waits; of `dead_letters`, letters that nobody has replayed or removed; of `events`, everything that is kept"))
	g.published, errs[4] = meter.Int64ObservableCounter("capi.store.published", metric.WithUnit("{message}"),
		metric.WithDescription("Messages that have ever been stored in a stream"))
	g.backlog, errs[5] = meter.Int64ObservableGauge("capi.backlog.messages", metric.WithUnit("{message}"),
		metric.WithDescription("Messages that the workers have not acknowledged, by stream: `pending` have not been delivered, `in_flight` are with workers or wait to be delivered again"))
	g.oldest, errs[6] = meter.Float64ObservableGauge("capi.backlog.oldest", metric.WithUnit("s"),
		metric.WithDescription("How long the oldest message has waited in its stream that the workers have not acknowledged; 0 if there is none"))
	return g, errors.Join(errs[:]...)
}

func (g *gauges) observe(o metric.Observer, s *store, now time.Time) {
	label := attribute.String("store", s.label)
	of := metric.WithAttributes(label)
	o.ObserveInt64(g.used, int64(s.used), of)
	if s.limit > 0 {
		o.ObserveInt64(g.limit, int64(s.limit), of)
	}
	if s.share.dataset != "" {
		o.ObserveFloat64(g.largest, s.share.part, metric.WithAttributes(label, attribute.String("dataset", s.share.dataset)))
	}
	if s.label == accountLabel {
		return // it has no messages of its own
	}
	o.ObserveInt64(g.messages, int64(s.messages), of)
	o.ObserveInt64(g.published, int64(s.last), of)
	if b := s.backlog; b != nil {
		o.ObserveInt64(g.backlog, int64(b.pending), metric.WithAttributes(label, attribute.String("state", "pending")))
		o.ObserveInt64(g.backlog, int64(b.inFlight), metric.WithAttributes(label, attribute.String("state", "in_flight")))
		if b.known {
			o.ObserveFloat64(g.oldest, b.age(now).Seconds(), of)
		}
	}
}
