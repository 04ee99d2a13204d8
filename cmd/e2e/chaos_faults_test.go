package e2e_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/capi-dispatcher/capi-dispatcher/graph/graphtest"
)

// mishap is something that goes wrong at a time, for a time.
type mishap struct {
	kind   string
	which  int // worker, node or dataset
	choice int
	at     time.Duration
	length time.Duration
	over   bool // the end of it
}

// kinds of mishaps, how long they last, and how many things they may befall.
// What falls under one name befalls one of its things at a time.
func kinds() []struct {
	kind, resource   string
	things           int
	shortest, length time.Duration
} {
	return []struct {
		kind, resource   string
		things           int
		shortest, length time.Duration
	}{
		{"kill -9 a worker", "worker", chaosWorkers, 0, time.Second},
		{"SIGTERM a worker", "worker", chaosWorkers, 0, time.Second},
		{"stop the stream's leader", "nats", 1, time.Second, 3 * time.Second},
		{"cut the way to a NATS node", "nats", chaosNodes, 500 * time.Millisecond, 4 * time.Second},
		{"slow the way to a NATS node", "nats", chaosNodes, time.Second, 2 * time.Second},
		{"deliver early what is in flight", "early", 1, 0, time.Second},
		{"kill Redis, fail over", "redis", 1, 4 * time.Second, 2 * time.Second},
		{"cut the way to Redis", "redis", 1, 200 * time.Millisecond, 400 * time.Millisecond},
		{"slow the way to Redis", "redis", 1, time.Second, time.Second},
		{"Meta errs", "dataset", chaosDatasets, time.Second, 2 * time.Second},
		{"Meta hides answers", "hidden", chaosDatasets, 0, time.Second},
	}
}

// schedule draws what goes wrong from a seed: the same seed, the same schedule.
func schedule(seed uint64, during time.Duration) (all []mishap) {
	random := rand.New(rand.NewPCG(seed, 0))
	busy := make(map[string]time.Duration)
	for at := time.Second; at < during; at += 100*time.Millisecond + time.Duration(random.Int64N(int64(700*time.Millisecond))) {
		k := kinds()[random.IntN(len(kinds()))]
		m := mishap{
			kind: k.kind, which: random.IntN(k.things), choice: random.IntN(1 << 16), at: at,
			length: k.shortest + time.Duration(random.Int64N(int64(k.length))),
		}
		resource := k.resource
		if resource == "worker" || resource == "dataset" {
			resource += strconv.Itoa(m.which)
		}
		if at < busy[resource] {
			continue
		}
		// Redis needs its time to find together again.
		busy[resource] = at + m.length + map[string]time.Duration{"redis": 4 * time.Second, "nats": time.Second}[k.resource]
		end := m
		end.at, end.over = at+m.length, true
		all = append(all, m, end)
	}
	slices.SortStableFunc(all, func(a, b mishap) int { return int(a.at - b.at) })
	return all
}

// errors of Meta's that a worker has to live with.
func metaErrors() []graphtest.Fault {
	return []graphtest.Fault{
		{Status: 503},
		{Status: 429, Header: map[string]string{"Retry-After": "1"}},
		{Error: &graphtest.Error{Code: 190, Message: "Malformed access token " + token}},
		{Status: 403, Body: "<html><body>Forbidden</body></html>"},
		{Error: &graphtest.Error{Code: 2, Message: "try again", Transient: true}},
		{Delay: 3 * time.Second, Status: 500},
	}
}

// happen makes a mishap begin, or end.
func (c *chaos) happen(m mishap) {
	c.t.Helper()
	if !m.over {
		c.counts[m.kind]++
	}
	switch m.kind {
	case "kill -9 a worker":
		c.befallWorker(m, func(w *worker) { w.kill() })
	case "SIGTERM a worker":
		c.befallWorker(m, func(w *worker) {
			// One that has not begun yet does not know of the signal.
			c.await("the worker has begun", func() bool { _, err := w.get("/livez"); return err == nil })
			w.stop()
		})
	case "stop the stream's leader":
		c.stopLeader(m)
	case "cut the way to a NATS node":
		c.nodesVia[m.which].refuse(!m.over)
	case "slow the way to a NATS node":
		c.nodesVia[m.which].slow(slowness(m))
	case "deliver early what is in flight":
		if !m.over {
			c.deliverEarly()
		}
	case "kill Redis, fail over":
		c.killRedis(m)
	case "cut the way to Redis":
		c.cutRedis(m)
	case "slow the way to Redis":
		for _, via := range c.redisVia {
			via.slow(slowness(m))
		}
	case "Meta errs":
		if m.over {
			c.Clear(datasetID(m.which))
		} else {
			c.Always(datasetID(m.which), metaErrors()[m.choice%len(metaErrors())])
		}
	case "Meta hides answers":
		if !m.over {
			c.witness.hush(datasetID(m.which), silence(1+m.choice%4), silence(1+m.choice/4%4))
		}
	}
}

func slowness(m mishap) time.Duration {
	if m.over {
		return 0
	}
	return 50 * time.Millisecond
}

func (c *chaos) befallWorker(m mishap, end func(w *worker)) {
	if m.over {
		c.startWorker(m.which)
		return
	}
	c.ends = append(c.ends, lifeEnd{m.which, int(c.lives[m.which].Load()), time.Now(), m.kind})
	end(c.workers[m.which])
}

// stopLeader stops the node that leads the events' stream.
func (c *chaos) stopLeader(m mishap) {
	if m.over {
		if c.stopped >= 0 {
			c.cluster.Nodes[c.stopped].Restart()
			c.stopped = -1
		}
		return
	}
	if c.stopped = c.cluster.Leader("CAPI"); c.stopped >= 0 {
		c.cluster.Nodes[c.stopped].Stop()
	}
}

// deliverEarly makes NATS give what workers have in flight to others, as it does
// where a leader has died that knew of their signs of life.
func (c *chaos) deliverEarly() {
	ctx, cancel := context.WithTimeout(c.t.Context(), time.Second)
	defer cancel()
	consumer, err := c.js.Consumer(ctx, "CAPI", "capi-dispatcher")
	if err != nil {
		return // it is away
	}
	at := consumer.CachedInfo()
	for sequence := at.AckFloor.Stream + 1; sequence <= at.Delivered.Stream; sequence++ {
		_ = c.js.Conn().Publish(fmt.Sprintf("$JS.ACK.CAPI.capi-dispatcher.1.%d.%d.0.0", sequence, at.Delivered.Consumer), []byte("-NAK"))
	}
}

// killRedis kills the primary; the sentinel makes the replica one.
func (c *chaos) killRedis(m mishap) {
	if m.over {
		c.redis[c.killed].Restart()
		c.outages[len(c.outages)-1].end = time.Now().Add(2 * time.Second)
		return
	}
	c.killed = c.primary()
	c.outages = append(c.outages, outage{begin: time.Now(), end: time.Now().Add(time.Hour)})
	c.redis[c.killed].Kill()
}

func (c *chaos) cutRedis(m mishap) {
	if !m.over {
		c.outages = append(c.outages, outage{begin: time.Now(), end: time.Now().Add(time.Hour)})
	} else {
		c.outages[len(c.outages)-1].end = time.Now().Add(2 * time.Second)
	}
	for _, via := range c.redisVia {
		via.refuse(!m.over)
	}
}

// watchFailovers notes every failover.
func (c *chaos) watchFailovers() {
	const atMost = 1000
	c.switches = make(chan time.Time, atMost)
	sentinel := redis.NewSentinelClient(&redis.Options{Addr: c.sentinel.Addr})
	news := sentinel.Subscribe(c.t.Context(), "+switch-master")
	_, err := news.Receive(c.t.Context())
	require.NoError(c.t, err)
	var done sync.WaitGroup
	done.Go(func() {
		for range news.Channel() {
			c.switches <- time.Now()
		}
	})
	c.t.Cleanup(func() {
		_ = news.Close()
		done.Wait()
		_ = sentinel.Close()
	})
}

// addFailovers takes failovers for outages that nobody has asked for. The old
// primary may have taken writes until it missed its replica.
func (c *chaos) addFailovers() (all int) {
	for {
		select {
		case at := <-c.switches:
			all++
			c.outages = append(c.outages, outage{begin: at, end: at.Add(replicaLag)})
		default:
			return all
		}
	}
}

// primary tells which server is the primary.
func (c *chaos) primary() int {
	c.t.Helper()
	found := -1
	c.await("Redis has a primary", func() bool {
		sentinel := redis.NewSentinelClient(&redis.Options{Addr: c.sentinel.Addr})
		defer func() { _ = sentinel.Close() }()
		address, err := sentinel.GetMasterAddrByName(c.t.Context(), "main").Result()
		if err != nil {
			return false
		}
		found = slices.IndexFunc(c.redisVia, func(p *proxy) bool { return p.address() == address[0]+":"+address[1] })
		return found >= 0
	})
	return found
}
