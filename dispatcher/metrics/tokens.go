package metrics

import (
	"cmp"
	"context"
	"slices"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
)

// ObserveTokens adds a gauge of how old access tokens are: those of which the file
// has not been changed for longest. changed returns when each was, by dataset.
func ObserveTokens(meter metric.Meter, changed func() map[string]time.Time) error {
	_, err := meter.Float64ObservableGauge("capi.token.age", metric.WithUnit("s"),
		metric.WithDescription("Time since an access token's file was changed, by dataset, of the 100 oldest; `default` is the token for the rest"),
		metric.WithFloat64Callback(func(_ context.Context, o metric.Float64Observer) error {
			now := time.Now()
			for _, token := range oldest(changed()) {
				o.Observe(now.Sub(token.changed).Seconds(), metric.WithAttributes(attribute.String("dataset", token.dataset)))
			}
			return nil
		}))
	return err
}

type token struct {
	dataset string
	changed time.Time
}

func oldest(changed map[string]time.Time) []token {
	all := make([]token, 0, len(changed))
	for dataset, at := range changed {
		all = append(all, token{dataset, at})
	}
	slices.SortFunc(all, func(a, b token) int {
		return cmp.Or(a.changed.Compare(b.changed), cmp.Compare(a.dataset, b.dataset))
	})
	return all[:min(len(all), MaxNamed)]
}
