package metrics

import (
	"context"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/health"
)

// Observe adds a gauge of one number.
func Observe(meter metric.Meter, name, unit, description string, read func() int) error {
	_, err := meter.Int64ObservableGauge(name, metric.WithUnit(unit), metric.WithDescription(description),
		metric.WithInt64Callback(func(_ context.Context, o metric.Int64Observer) error {
			o.Observe(int64(read()))
			return nil
		}))
	return err
}

// ObserveConditions adds a gauge of whether conditions hold.
func ObserveConditions(meter metric.Meter, conditions func() []health.Condition) error {
	_, err := meter.Int64ObservableGauge("capi.condition",
		metric.WithDescription("1 where a condition for events to flow holds, or has not been tried yet, else 0"),
		metric.WithInt64Callback(func(_ context.Context, o metric.Int64Observer) error {
			for _, c := range conditions() {
				var holds int64
				if c.OK {
					holds = 1
				}
				o.Observe(holds, metric.WithAttributes(attribute.String("condition", c.Name)))
			}
			return nil
		}))
	return err
}
