package metrics

import (
	"context"
	"errors"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/parked"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/serverclock"
)

// ObserveOldest adds gauges of the oldest parked events, and of the server's clock, by
// which they wait.
func ObserveOldest(meter metric.Meter, oldest *parked.Oldest, clock *serverclock.Clock) error {
	age, err := meter.Float64ObservableGauge("capi.parked.oldest", metric.WithUnit("s"),
		metric.WithDescription("Time since the oldest event was published that waits, by reason, and by whether its dataset is known"))
	left, err2 := meter.Float64ObservableGauge("capi.parked.time_to_expiry", metric.WithUnit("s"),
		metric.WithDescription("Time until the first event that waits is too old for Meta, by reason, and by whether its dataset is known"))
	skew, err3 := meter.Float64ObservableGauge("capi.clock.skew", metric.WithUnit("s"),
		metric.WithDescription("By how much the NATS server's clock is ahead of the worker's"))
	if err := errors.Join(err, err2, err3); err != nil {
		return err
	}
	_, err = meter.RegisterCallback(func(_ context.Context, o metric.Observer) error {
		now := clock.Now()
		o.ObserveFloat64(skew, clock.Skew().Seconds())
		for _, ages := range oldest.All() {
			of := metric.WithAttributes(attribute.String("reason", string(ages.Reason)), attribute.Bool("known", ages.Known))
			o.ObserveFloat64(age, now.Sub(ages.Since).Seconds(), of)
			o.ObserveFloat64(left, ages.Expires.Sub(now).Seconds(), of)
		}
		return nil
	}, age, left, skew)
	return err
}
