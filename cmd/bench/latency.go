package main

import (
	"context"
	"fmt"
	"net/http"
	"regexp"
	"time"
)

const latencyDatasets = 20

// pace is how long events took at a steady rate.
type pace struct {
	Rate      int     // asked for, events a second
	Published float64 // events a second
	Latencies latencies
}

// paces measures the latency from publisher to receiver at each rate, with one
// worker.
func (b *bench) paces(ctx context.Context) (all []pace, err error) {
	scene, err := b.newScene(ctx, b.answerAfter)
	if err != nil {
		return nil, err
	}
	defer scene.end()
	worker, err := scene.startWorker(ctx)
	if err != nil {
		return nil, err
	}
	defer worker.end()
	if err := scene.awaitReady(ctx, worker); err != nil {
		return nil, err
	}
	p := &pacer{scene: scene, worker: worker}
	for i, rate := range b.rates {
		if i == 0 { // connections come about with the first events
			if _, err := p.keep(ctx, rate, b.length/10); err != nil {
				return nil, err
			}
		}
		b.say("latency: %d events a second for %s", rate, b.length)
		measured, err := p.keep(ctx, rate, b.length)
		if err != nil {
			return nil, fmt.Errorf("%d events a second: %w", rate, err)
		}
		all = append(all, measured)
	}
	return all, nil
}

// awaitReady waits until the worker's /readyz says yes.
func (c *scene) awaitReady(ctx context.Context, worker *process) error {
	address, err := worker.said(ctx, regexp.MustCompile(`"msg":"dispatching".*"admin":"([^"]+)"`))
	if err != nil {
		return err
	}
	return worker.await(ctx, "get ready", 10*time.Millisecond, func() (bool, error) {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+"/readyz", http.NoBody)
		if err != nil {
			return false, err
		}
		response, err := c.http.Do(request)
		if err != nil {
			return false, err
		}
		return response.StatusCode == http.StatusOK, response.Body.Close()
	})
}

// pacer publishes at a steady rate.
type pacer struct {
	*scene

	worker    *process
	published int // so far
}

// keep keeps a rate up for so long, and returns how long the events of that time
// took.
func (p *pacer) keep(ctx context.Context, rate int, length time.Duration) (pace, error) {
	took, err := p.publishSteadily(ctx, rate, int(float64(rate)*length.Seconds()))
	if err != nil {
		return pace{}, err
	}
	if err := p.checkStored(ctx, p.published); err != nil {
		return pace{}, err
	}
	isAll := func(got counts) bool { return got.Distinct >= p.published }
	if _, err := p.awaitReceived(ctx, p.worker, p.published, isAll); err != nil {
		return pace{}, err
	}
	got, err := p.latencies(ctx)
	return pace{Rate: rate, Published: float64(got.Events) / took.Seconds(), Latencies: got}, err
}

// publishSteadily publishes at each tick what is due by then, so that a late tick
// is made up for.
func (p *pacer) publishSteadily(ctx context.Context, rate, events int) (time.Duration, error) {
	ticker := time.NewTicker(time.Millisecond)
	defer ticker.Stop()
	began := time.Now()
	for done := 0; done < events; {
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return 0, ctx.Err()
		}
		due := min(events, int(time.Since(began).Seconds()*float64(rate)))
		for ; done < due; done++ {
			if err := p.publishOne(); err != nil {
				return 0, err
			}
		}
	}
	return time.Since(began), nil
}

func (p *pacer) publishOne() error {
	number := p.published
	if _, err := p.js.PublishAsync(subjectOf(number, latencyDatasets), event(number, time.Now())); err != nil {
		return fmt.Errorf("publishing: %w", err)
	}
	p.published++
	return nil
}
