package metrics

import (
	"context"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
)

// People is what is counted of looking up whose events are.
type People struct{ sought metric.Int64Counter }

// Sought counts an event whose person was looked up, by what was found.
func (p *People) Sought(of *Dataset, found string) {
	p.sought.Add(context.Background(), 1, of.with(attribute.String("found", found)))
}
