package e2e_test

import (
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/capi-dispatcher/capi-dispatcher/config"
	"github.com/capi-dispatcher/capi-dispatcher/dedupe/dedupetest"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/natstest"
	"github.com/capi-dispatcher/capi-dispatcher/graph/graphtest"
	"github.com/capi-dispatcher/capi-dispatcher/internal/secret"
)

const (
	chaosWorkers  = 3
	chaosNodes    = 3
	chaosDatasets = 5
	// remembering is how long after its acceptance an event is surely
	// confirmed, when Redis answers.
	remembering = 2 * time.Second
	// replicaLag is how much of the last moments a failover may forget: Redis
	// takes no writes when its replica has not been heard of for two seconds,
	// and it is heard of every second. The documentation states it.
	replicaLag = 3 * time.Second
)

// chaos is three workers, a cluster of three NATS servers, a Redis with a
// replica and a sentinel, and a witness in front of Meta.
type chaos struct {
	*rig

	cluster   *natstest.Cluster
	nodesVia  []*proxy
	redis     []*dedupetest.Server
	redisVia  []*proxy
	sentinel  *dedupetest.Server
	witness   *witness
	telemetry *telemetry
	meta      [chaosWorkers]string // addresses, one a worker
	workers   [chaosWorkers]*worker
	lives     [chaosWorkers]atomic.Int64

	counts  map[string]int
	ends    []lifeEnd
	outages []outage // of Redis
	stopped int      // node
	killed  int      // Redis
	// switches are when the sentinel has made another Redis the primary: after a
	// kill, or because a busy machine let one seem dead.
	switches chan time.Time

	forgotten time.Duration // by a failover, at most
}

// lifeEnd is when a worker's process was told to end.
type lifeEnd struct {
	worker, life int
	at           time.Time
	kind         string
}

// outage is when Redis could not be relied on.
type outage struct{ begin, end time.Time }

// Everything fails at random, by a seed, while events keep coming. Nothing is
// lost, and an event is accepted twice only where an answer was hidden, a
// worker was killed before it could confirm, or Redis failed over.
//
// CHAOS_SEED replays a schedule; CHAOS_TIME is how long things go wrong.
func TestChaos(t *testing.T) {
	t.Parallel()
	seed, during := uint64(time.Now().UnixNano()), 15*time.Second
	if text := os.Getenv("CHAOS_SEED"); text != "" {
		var err error
		seed, err = strconv.ParseUint(text, 10, 64)
		require.NoError(t, err)
	}
	if text := os.Getenv("CHAOS_TIME"); text != "" {
		var err error
		during, err = time.ParseDuration(text)
		require.NoError(t, err)
	}
	t.Logf("CHAOS_SEED=%d CHAOS_TIME=%s", seed, during)
	c := setupChaos(t)
	producing := c.produce(seed)
	began := time.Now()
	for _, m := range schedule(seed, during) {
		time.Sleep(time.Until(began.Add(m.at)))
		c.happen(m)
	}
	good, poison, copies := producing.stop()
	c.awaitEnd(good, poison)
	c.judge(good, poison, copies)
	c.requireNothingSecret()
}

func setupChaos(t *testing.T) *chaos {
	t.Helper()
	api := graphtest.New(graphtest.Config{Latency: 20 * time.Millisecond})
	c := &chaos{
		rig: &rig{t: t, API: api, dir: t.TempDir()}, counts: make(map[string]int), stopped: -1,
		cluster: natstest.StartCluster(t, chaosNodes),
	}
	for _, node := range c.cluster.Nodes {
		c.nodesVia = append(c.nodesVia, newProxy(t, strings.TrimPrefix(node.URL(), "nats://")))
	}
	c.startRedis()
	c.configure([]func(*config.Config){func(cfg *config.Config) {
		cfg.Dedupe.Takeover = 3 * cfg.NATS.AckWait
		cfg.NATS.Replicas, cfg.Redis.Mode, cfg.Redis.SentinelMaster = 3, config.Sentinel, "main"
		cfg.Log.Level, cfg.Graph.HashPersonalData = "debug", true
	}})
	c.witness = newWitness(api, c.config.Graph.Timeout)
	conn, err := nats.Connect(c.cluster.URL(), nats.MaxReconnects(-1), nats.ReconnectWait(50*time.Millisecond), nats.ReconnectBufSize(-1))
	require.NoError(t, err)
	t.Cleanup(conn.Close)
	c.js, err = jetstream.New(conn)
	require.NoError(t, err)
	c.addDatasets(chaosDatasets)
	c.startTelemetry()
	for i := range chaosWorkers {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		c.meta[i] = listener.Addr().String()
		server := &http.Server{Handler: c.witness.server(i, func() int { return int(c.lives[i].Load()) }), ReadHeaderTimeout: time.Minute}
		go func() { _ = server.Serve(listener) }()
		t.Cleanup(func() { _ = server.Close() })
		c.startWorker(i)
	}
	for _, w := range c.workers {
		c.await("a worker is ready", func() bool { return w.readiness().Ready })
	}
	return c
}

// startRedis runs two servers behind proxies, and a sentinel that knows them by
// their proxies' addresses.
func (c *chaos) startRedis() {
	t := c.t
	t.Helper()
	var first string
	for range 2 {
		// The port that a server announces has to be known before it is there.
		via := newProxy(t, "")
		_, port, err := net.SplitHostPort(via.address())
		require.NoError(t, err)
		args := []string{"--min-replicas-to-write", "1", "--min-replicas-max-lag", "2", "--replica-announce-ip", "127.0.0.1", "--replica-announce-port", port, "--repl-diskless-sync-delay", "0", "--appendonly", "yes"}
		if first != "" {
			args = append(args, "--replicaof", "127.0.0.1 "+first)
		}
		first = port
		server := dedupetest.Start(t, args...)
		via.point(server.Addr)
		c.redis, c.redisVia = append(c.redis, server), append(c.redisVia, via)
	}
	c.sentinel = dedupetest.StartSentinel(t, &dedupetest.Server{Addr: c.redisVia[0].address()})
	c.watchFailovers()
	c.await("the replica is there", func() bool {
		info, err := c.redis[1].Client().Info(t.Context(), "replication").Result()
		return err == nil && strings.Contains(info, "master_link_status:up")
	})
}

func (c *chaos) startWorker(i int) {
	c.lives[i].Add(1)
	c.lead = func(cfg *config.Config) {
		var urls []string
		for _, via := range c.nodesVia {
			urls = append(urls, "nats://"+via.address())
		}
		cfg.NATS.URL, cfg.Redis.URL = secret.URLs(strings.Join(urls, ",")), secret.URLs("redis://"+c.sentinel.Addr+"/0")
		cfg.Graph.URL = "http://" + c.meta[i]
	}
	c.workers[i] = c.launch(shipped)
}

// producing is a producer that goes on whatever happens.
type producing struct {
	stop func() (good map[graphtest.Event]bool, poison map[string]bool, copies int)
}

// produce publishes about 200 messages a second: a tenth are copies of events
// of the last moments, one in a hundred is poison, and all have personal data. What NATS does not
// acknowledge is published again.
func (c *chaos) produce(seed uint64) producing {
	const inTheClear = `"em":"` + person + `@example.com"`
	random := rand.New(rand.NewPCG(seed, 1))
	l, copies := load{good: make(map[graphtest.Event]bool), poison: make(map[string]bool)}, 0
	var done sync.WaitGroup
	ended := make(chan struct{})
	done.Go(func() {
		for i := 0; ; i++ {
			select {
			case <-ended:
				return
			case <-time.After(5 * time.Millisecond):
			}
			var m jetstreamMessage
			id := fmt.Sprintf("order-%d", i)
			dataset := datasetID(random.IntN(chaosDatasets))
			switch kind := random.IntN(100); {
			case kind < 10 && len(l.messages) > 0:
				m = l.messages[max(0, len(l.messages)-1-random.IntN(1000))]
				copies++
			case kind == 10:
				faulty := []string{inTheClear, inTheClear + `,"ph":"call ` + person + `"`}[i%2] // for Meta, or for us already
				m = jetstreamMessage{"capi.events." + dataset, withPerson(event(id, "invalid"), faulty)}
				l.poison[id] = true
			default:
				m = jetstreamMessage{"capi.events." + dataset, withPerson(event(id, "ARAkLk"), inTheClear)}
				l.good[graphtest.Event{Dataset: dataset, Name: "Purchase", ID: id}] = true
				l.messages = append(l.messages, m)
			}
			for !c.publishOnce(m.subject, m.body) {
				time.Sleep(50 * time.Millisecond)
			}
		}
	})
	stop := sync.OnceFunc(func() { close(ended); done.Wait() })
	c.t.Cleanup(stop)
	return producing{func() (map[graphtest.Event]bool, map[string]bool, int) {
		stop()
		return l.good, l.poison, copies
	}}
}

// awaitEnd waits until every event has come to its end, and nothing is left.
func (c *chaos) awaitEnd(good map[graphtest.Event]bool, poison map[string]bool) {
	c.t.Helper()
	c.t.Logf("all is well again; %d events were published", len(good)+len(poison))
	for _, w := range c.workers {
		c.await("every worker is ready again", func() bool { return w.readiness().Ready })
	}
	c.awaitQuiet()
}
