package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strconv"
	"strings"
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
		allocated, err := c.mallocs(ctx, "http://"+address+"/metrics")
		if err != nil {
			return 0, err
		}
		sum += allocated
	}
	return sum, nil
}

// mallocs reads how many objects a Go program has allocated from what it tells
// Prometheus.
func (c *scene) mallocs(ctx context.Context, url string) (int, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return 0, err
	}
	response, err := c.http.Do(request)
	if err != nil {
		return 0, err
	}
	defer func() { _ = response.Body.Close() }()
	lines := bufio.NewScanner(response.Body)
	for lines.Scan() {
		if figure, found := strings.CutPrefix(lines.Text(), mallocsMetric+" "); found {
			allocated, err := strconv.ParseFloat(figure, 64)
			return int(allocated), err
		}
	}
	return 0, errors.Join(fmt.Errorf("%s has no %s", url, mallocsMetric), lines.Err())
}

const mallocsMetric = "go_memstats_mallocs_total"
