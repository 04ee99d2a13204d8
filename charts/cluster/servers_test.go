package cluster_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/capi-dispatcher/capi-dispatcher/dedupe/dedupetest"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/natstest"
	"github.com/capi-dispatcher/capi-dispatcher/graph/graphtest"
)

const redisPassword = "redis-secret"

// servers are what the workers talk to, all on the node's address: NATS with
// users of few rights, Redis with a password, and the simulated Graph API.
type servers struct {
	t       *testing.T
	account *natstest.Account
	nats    *server.Server
	js      jetstream.JetStream // with all rights
	redis   *redis.Client
	graph   *graphServer

	refusals *refusals
}

func startServers(t *testing.T) *servers {
	t.Helper()
	s := &servers{t: t, refusals: &refusals{}}
	s.startNATS()
	running := dedupetest.Start(t, "--bind", "127.0.0.1", nodeIP, "--requirepass", redisPassword, "--appendonly", "yes")
	s.redis = redis.NewClient(&redis.Options{Addr: onNode(t, running.Addr), Password: redisPassword})
	t.Cleanup(func() { _ = s.redis.Close() })
	s.graph = startGraph(t)
	return s
}

func (s *servers) startNATS() {
	s.t.Helper()
	options := &server.Options{
		Host: nodeIP, Port: server.RANDOM_PORT, HTTPHost: nodeIP, HTTPPort: server.RANDOM_PORT,
		JetStream: true, JetStreamMaxStore: 1 << 40, StoreDir: s.t.TempDir(), NoSigs: true,
	}
	s.account = natstest.NewAccount(s.t, options)
	running, err := server.NewServer(options)
	require.NoError(s.t, err)
	running.SetLoggerV2(s.refusals, false, false, false)
	running.Start()
	s.t.Cleanup(func() { running.Shutdown(); running.WaitForShutdown() })
	require.True(s.t, running.ReadyForConnections(30*time.Second), "NATS does not start")
	conn, err := nats.Connect(running.ClientURL(), nats.UserCredentialBytes([]byte(s.account.Creds())))
	require.NoError(s.t, err)
	s.t.Cleanup(conn.Close)
	s.nats = running
	s.js, err = jetstream.New(conn)
	require.NoError(s.t, err)
}

// size is how many messages a stream has.
func (s *servers) size(stream string) uint64 {
	s.t.Helper()
	found, err := s.js.Stream(s.t.Context(), stream)
	require.NoError(s.t, err)
	return found.CachedInfo().State.Msgs
}

// consumer is how the workers' consumer of a stream is set.
func (s *servers) consumer(stream string) jetstream.ConsumerConfig {
	s.t.Helper()
	found, err := s.js.Consumer(s.t.Context(), stream, "capi-dispatcher")
	require.NoError(s.t, err)
	return found.CachedInfo().Config
}

// doesWithout is what a worker asks for and does without, by docs/security.md.
const doesWithout = `Subject "$JS.API.INFO"`

// refusals is the log of NATS, as far as somebody was refused something that
// nobody does without.
type refusals struct {
	mu    sync.Mutex
	lines []string
}

func (r *refusals) note(format string, values ...any) {
	line := fmt.Sprintf(format, values...)
	if !strings.Contains(line, "Violation") && !strings.Contains(line, "rror") || strings.Contains(line, doesWithout) {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.lines = append(r.lines, line)
}

func (r *refusals) all() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.lines
}

func (r *refusals) Noticef(string, ...any)              {}
func (r *refusals) Debugf(string, ...any)               {}
func (r *refusals) Tracef(string, ...any)               {}
func (r *refusals) Warnf(format string, values ...any)  { r.note(format, values...) }
func (r *refusals) Errorf(format string, values ...any) { r.note(format, values...) }
func (r *refusals) Fatalf(format string, values ...any) { r.note(format, values...) }

// graphServer serves the simulated API, and knows who asks.
type graphServer struct {
	*graphtest.API

	url string

	mu       sync.Mutex
	inFlight map[string]int             // by the sender's address
	first    map[string]time.Time       // when a sender's first request came
	last     map[string]time.Time       // when the last that came of it was answered
	senders  map[graphtest.Event]string // who was the last to send an event
}

func startGraph(t *testing.T) *graphServer {
	t.Helper()
	g := &graphServer{
		API:      graphtest.New(graphtest.Config{Latency: 20 * time.Millisecond}),
		inFlight: make(map[string]int), senders: make(map[graphtest.Event]string),
		first: make(map[string]time.Time), last: make(map[string]time.Time),
	}
	listener, err := net.Listen("tcp", nodeIP+":0")
	require.NoError(t, err)
	g.url = "http://" + listener.Addr().String()
	running := &http.Server{Handler: http.HandlerFunc(g.serve), ReadHeaderTimeout: time.Minute}
	go func() { _ = running.Serve(listener) }()
	t.Cleanup(func() { _ = running.Close() })
	return g
}

func (g *graphServer) serve(w http.ResponseWriter, r *http.Request) {
	sender, _, _ := net.SplitHostPort(r.RemoteAddr)
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // the sender is gone, and the request is not whole
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	g.begin(sender, strings.Split(r.URL.Path, "/")[2], body)
	defer g.end(sender)
	g.ServeHTTP(w, r)
}

func (g *graphServer) begin(sender, dataset string, body []byte) {
	var request struct {
		Data []struct {
			Name string `json:"event_name"`
			ID   string `json:"event_id"`
		}
	}
	_ = json.Unmarshal(body, &request) // the API says what is wrong with it
	g.mu.Lock()
	defer g.mu.Unlock()
	g.inFlight[sender]++
	if g.first[sender].IsZero() {
		g.first[sender] = time.Now()
	}
	for _, e := range request.Data {
		g.senders[graphtest.Event{Dataset: dataset, Name: e.Name, ID: e.ID}] = sender
	}
}

func (g *graphServer) end(sender string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.inFlight[sender]--
	g.last[sender] = time.Now()
}

// firstOf is when the first request of any of these senders came; zero if none
// has.
func (g *graphServer) firstOf(senders []string) (first time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, sender := range senders {
		if at := g.first[sender]; first.IsZero() || !at.IsZero() && at.Before(first) {
			first = at
		}
	}
	return first
}

// lastOf is when the last request of all these senders was answered.
func (g *graphServer) lastOf(senders []string) (last time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, sender := range senders {
		if at := g.last[sender]; at.After(last) {
			last = at
		}
	}
	return last
}

// answers reports whether a request of a sender is being answered.
func (g *graphServer) answers(sender string) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.inFlight[sender] > 0
}

// acceptedFrom lists the events that were accepted, and that a sender was the
// last to send.
func (g *graphServer) acceptedFrom(sender string) (events []graphtest.Event) {
	counts := g.Ledger().Counts()
	g.mu.Lock()
	defer g.mu.Unlock()
	for e := range counts {
		if g.senders[e] == sender {
			events = append(events, e)
		}
	}
	return events
}

// onNode is the port of an address, on the node.
func onNode(t *testing.T, address string) string {
	t.Helper()
	_, port, err := net.SplitHostPort(address)
	require.NoError(t, err)
	return net.JoinHostPort(nodeIP, port)
}
