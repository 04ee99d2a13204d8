package main

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

// score is what has become of a dataset's events.
type score struct {
	Accepted, Duplicates, Dead, Parked, InFlight, Requests int
}

// scoreboard reads the worker's metrics the way Prometheus would.
type scoreboard struct {
	admin string

	mu   sync.Mutex
	last map[string]score
}

func newScoreboard(admin string) *scoreboard {
	return &scoreboard{admin: admin, last: make(map[string]score)}
}

// awaitReady waits until /readyz says yes.
func (b *scoreboard) awaitReady(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return errors.New("the worker does not get ready; see " + b.admin + "/readyz")
		case <-ticker.C:
			if response, err := b.get(ctx, "/readyz"); err == nil {
				_ = response.Body.Close()
				if response.StatusCode == http.StatusOK {
					return nil
				}
			}
		}
	}
}

func (b *scoreboard) get(ctx context.Context, path string) (*http.Response, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, b.admin+path, nil)
	if err != nil {
		return nil, err
	}
	return http.DefaultClient.Do(request)
}

// read returns the scores by dataset; the last ones known if the worker does
// not answer any more.
func (b *scoreboard) read() map[string]score {
	b.mu.Lock()
	defer b.mu.Unlock()
	response, err := b.get(context.Background(), "/metrics")
	if err != nil {
		return b.last
	}
	defer func() { _ = response.Body.Close() }()
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(response.Body)
	if err != nil {
		return b.last
	}
	b.last = tally(families)
	return b.last
}

func tally(families map[string]*dto.MetricFamily) map[string]score {
	scores := make(map[string]score)
	each := func(name string, add func(s *score, labels map[string]string, value int)) {
		for _, m := range families[name].GetMetric() {
			labels := make(map[string]string)
			for _, label := range m.GetLabel() {
				labels[label.GetName()] = label.GetValue()
			}
			s := scores[labels["dataset"]]
			add(&s, labels, int(m.GetCounter().GetValue()+m.GetGauge().GetValue()))
			scores[labels["dataset"]] = s
		}
	}
	each("capi_events_settled_total", func(s *score, labels map[string]string, value int) {
		switch labels["outcome"] {
		case "accepted":
			s.Accepted += value
		case "duplicate":
			s.Duplicates += value
		case "dead_lettered":
			s.Dead += value
		case "parked":
			s.Parked += value
		}
	})
	each("capi_events_in_flight", func(s *score, _ map[string]string, value int) { s.InFlight += value })
	each("capi_requests_total", func(s *score, _ map[string]string, value int) { s.Requests += value })
	return scores
}
