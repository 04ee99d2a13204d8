package main

import (
	"context"
	"fmt"
	"net/http"
	"time"
)

const latencyDatasets = 20

// pace is how long events took at a steady rate.
type pace struct {
	Rate      int     // asked for, events a second
	Published float64 // events a second
	Latencies latencies
	Requests  int
}

// paces measures the latency from publisher to receiver at each rate, and how many
// requests it takes.
func (b *bench) paces(ctx context.Context, rates []int, under conditions) (all []pace, err error) {
	scene, err := b.newScene(ctx, under.answerAfter, under.configure)
	if err != nil {
		return nil, err
	}
	defer scene.end()
	workers, err := scene.startWorkers(ctx, under.workers)
	defer workers.end()
	if err != nil {
		return nil, err
	}
	if err := scene.awaitReady(ctx, workers); err != nil {
		return nil, err
	}
	p := &pacer{scene: scene, workers: workers, datasets: under.datasets}
	for i, rate := range rates {
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

// awaitReady waits until each worker's /readyz says yes.
func (c *scene) awaitReady(ctx context.Context, workers crew) error {
	for _, worker := range workers {
		address, err := worker.Said(ctx, admin)
		if err != nil {
			return err
		}
		if err := worker.Await(ctx, "get ready", 10*time.Millisecond, func() (bool, error) {
			return c.isReady(ctx, "http://"+address+"/readyz")
		}); err != nil {
			return err
		}
	}
	return nil
}

func (c *scene) isReady(ctx context.Context, url string) (bool, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return false, err
	}
	response, err := c.http.Do(request)
	if err != nil {
		return false, err
	}
	return response.StatusCode == http.StatusOK, response.Body.Close()
}

// pacer publishes at a steady rate.
type pacer struct {
	*scene

	workers   crew
	datasets  int
	published int // so far
	requests  int // so far
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
	received, err := p.awaitReceived(ctx, p.workers, p.published, isAll)
	if err != nil {
		return pace{}, err
	}
	before := p.requests
	p.requests = received.Requests
	got, err := p.latencies(ctx)
	return pace{
		Rate: rate, Published: float64(got.Events) / took.Seconds(), Latencies: got, Requests: p.requests - before,
	}, err
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
	if _, err := p.js.PublishAsync(subjectOf(number, p.datasets), event(number, time.Now(), usualSize)); err != nil {
		return fmt.Errorf("publishing: %w", err)
	}
	p.published++
	return nil
}
