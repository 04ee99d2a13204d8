package metrics

import (
	"errors"

	"go.opentelemetry.io/otel/metric"
)

// instruments makes instruments of a meter, and keeps what goes wrong for the end.
type instruments struct {
	meter metric.Meter
	err   error
}

// made makes an instrument by one of the meter's methods.
func made[Instrument, Option any](
	in *instruments, by func(string, ...Option) (Instrument, error),
) func(string, ...Option) Instrument {
	return func(name string, options ...Option) Instrument {
		instrument, err := by(name, options...)
		in.err = errors.Join(in.err, err)
		return instrument
	}
}

func (in *instruments) counter(name, unit, description string) metric.Int64Counter {
	return made(in, in.meter.Int64Counter)(name, metric.WithUnit(unit), metric.WithDescription(description))
}

// seconds is a histogram of times.
func (in *instruments) seconds(name, description string, bounds ...float64) metric.Float64Histogram {
	return made(in, in.meter.Float64Histogram)(name, metric.WithUnit("s"), metric.WithDescription(description),
		metric.WithExplicitBucketBoundaries(bounds...))
}
