package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strconv"
	"time"

	"github.com/capi-dispatcher/capi-dispatcher/cmd/bench/process"
)

// crew is processes that do one thing together: workers, or the nodes of a cluster.
type crew []*process.Process

// leader is the one that is asked where one is enough.
func (c crew) leader() *process.Process { return c[0] }

func (c crew) end() {
	for _, p := range c {
		p.End()
	}
}

// cpu is how much of a processor's time all have used so far.
func (c crew) cpu() (sum time.Duration, err error) {
	for _, p := range c {
		used, err := p.CPU()
		if err != nil {
			return 0, err
		}
		sum += used
	}
	return sum, nil
}

// peak is the most memory that one of them has had so far, in bytes.
func (c crew) peak() (most int, err error) {
	for _, p := range c {
		had, err := p.Peak()
		if err != nil {
			return 0, err
		}
		most = max(most, had)
	}
	return most, nil
}

// admin is where a worker says that it can be asked, and the ceiling, for what it
// has allocated.
var admin = regexp.MustCompile(`"admin":"([^"]+)"`)

// allocs is how many objects all have allocated so far.
func (c *scene) allocs(ctx context.Context, of crew) (sum int, err error) {
	for _, p := range of {
		address, err := p.Said(ctx, admin)
		if err != nil {
			return 0, err
		}
		allocated, found, err := c.metric(ctx, address, mallocsMetric)
		if err == nil && !found {
			err = fmt.Errorf("%s has no %s", address, mallocsMetric)
		}
		if err != nil {
			return 0, err
		}
		sum += int(allocated)
	}
	return sum, nil
}

// metric reads what a program tells Prometheus of a metric: the sum of all its series.
func (c *scene) metric(ctx context.Context, address, name string) (sum float64, found bool, err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+"/metrics", http.NoBody)
	if err != nil {
		return 0, false, err
	}
	response, err := c.http.Do(request)
	if err != nil {
		return 0, false, fmt.Errorf("the metrics of %s: %w", address, err)
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	for _, series := range regexp.MustCompile(`(?m)^`+name+`(?:\{.*\})? (\S+)$`).FindAllSubmatch(text, -1) {
		figure, parseErr := strconv.ParseFloat(string(series[1]), 64)
		err = errors.Join(err, parseErr)
		sum, found = sum+figure, true
	}
	return sum, found, err
}

const mallocsMetric = "go_memstats_mallocs_total"
