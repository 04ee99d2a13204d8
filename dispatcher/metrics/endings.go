package metrics

import (
	"sync"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
)

// ending is how an event leaves.
type ending struct{ outcome, reason string }

// endings keep the attributes of each ending: to make them anew for each event
// would cost time and memory.
type endings struct {
	with func(...attribute.KeyValue) metric.MeasurementOption

	mu   sync.RWMutex
	made map[ending][]metric.AddOption
}

func newEndings(with func(...attribute.KeyValue) metric.MeasurementOption) *endings {
	return &endings{with: with, made: make(map[ending][]metric.AddOption)}
}

func (e *endings) of(end ending) []metric.AddOption {
	e.mu.RLock()
	options := e.made[end]
	e.mu.RUnlock()
	if options != nil {
		return options
	}
	options = []metric.AddOption{e.with(attribute.String("outcome", end.outcome), attribute.String("reason", end.reason))}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.made[end] = options
	return options
}
