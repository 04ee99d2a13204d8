package capture

import (
	"context"
	"errors"
	"net/http"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
)

// Meters are what is counted.
type Meters struct{ answers, updates, records metric.Int64Counter }

// NewMeters returns meters whose instruments are the given meter's.
func NewMeters(meter metric.Meter) (*Meters, error) {
	answers, err := meter.Int64Counter("capi.webhooks.answered", metric.WithUnit("{request}"),
		metric.WithDescription("Requests of Meta's webhooks, by method and by the code of the answer"))
	updates, err2 := meter.Int64Counter("capi.webhooks.updates", metric.WithUnit("{update}"),
		metric.WithDescription("Updates in webhooks, by what became of them"))
	records, err3 := meter.Int64Counter("capi.clicks.indexed", metric.WithUnit("{record}"),
		metric.WithDescription("Records of clicks and people put into Redis"))
	return &Meters{answers, updates, records}, errors.Join(err, err2, err3)
}

func (m *Meters) answered(ctx context.Context, method string, code int) {
	if method != http.MethodGet && method != http.MethodPost {
		method = "other"
	}
	m.answers.Add(ctx, 1, metric.WithAttributes(attribute.String("method", method), attribute.Int("code", code)))
}

func (m *Meters) took(ctx context.Context, outcome string, updates int) {
	if updates > 0 {
		m.updates.Add(ctx, int64(updates), metric.WithAttributes(attribute.String("outcome", outcome)))
	}
}

func (m *Meters) indexed(ctx context.Context, outcome string, records int) {
	if records > 0 {
		m.records.Add(ctx, int64(records), metric.WithAttributes(attribute.String("outcome", outcome)))
	}
}
