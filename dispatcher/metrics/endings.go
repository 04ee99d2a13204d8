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
	made map[ending]*series
}

// series are the attributes of one ending, as a counter and as a gauge take them.
type series struct {
	add    []metric.AddOption
	record []metric.RecordOption
}

func newEndings(with func(...attribute.KeyValue) metric.MeasurementOption) *endings {
	return &endings{with: with, made: make(map[ending]*series)}
}

func (e *endings) of(end ending) *series {
	e.mu.RLock()
	found := e.made[end]
	e.mu.RUnlock()
	if found != nil {
		return found
	}
	set := e.with(attribute.String("outcome", end.outcome), attribute.String("reason", end.reason))
	found = &series{add: []metric.AddOption{set}, record: []metric.RecordOption{set}}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.made[end] = found
	return found
}
