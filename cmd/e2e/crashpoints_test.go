package e2e_test

import (
	"bytes"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"text/tabwriter"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/capi-dispatcher/capi-dispatcher/config"
	"github.com/capi-dispatcher/capi-dispatcher/dedupe"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/deadletter"
	"github.com/capi-dispatcher/capi-dispatcher/graph/graphtest"
	"github.com/capi-dispatcher/capi-dispatcher/internal/secret"
)

// Steps of the protocols, as they look on the wire.
var (
	setNX   = regexp.MustCompile(`(?i)\r\nset\r\n[^*]*\r\nnx\r\n`)
	setSent = regexp.MustCompile(`(?i)\$3\r\nset\r\n\$14\r\n(?s:.{14})\r\n\$1\r\n1\r\n`)
	release = regexp.MustCompile(`(?s)\r\neval\r\n.*'DEL'`)
	acked   = regexp.MustCompile(`PUB \$JS\.ACK\.(?s:.*)\+ACK`)
	termed  = regexp.MustCompile(`PUB \$JS\.ACK\.(?s:.*)\+TERM`)
)

// ofAnEvent is a step that is about an event's claim, and not about one that
// workers make to see that Redis answers, or to take turns.
func ofAnEvent(step *regexp.Regexp) func([]byte) bool {
	others := []dedupe.Key{dedupe.NewKey("capi-dispatcher", "check"), dedupe.NewKey("capi-dispatcher", "sweep", "CAPI_PARKED")}
	return func(chunk []byte) bool {
		return step.Match(chunk) && !slices.ContainsFunc(others, func(key dedupe.Key) bool { return bytes.Contains(chunk, key[:]) })
	}
}

func contains(text string) func([]byte) bool {
	return func(chunk []byte) bool { return bytes.Contains(chunk, []byte(text)) }
}

func anything([]byte) bool { return true }

// proxies stand in front of the servers.
type proxies struct{ nats, redis, graph *proxy }

func (p proxies) lead(cfg *config.Config) {
	cfg.NATS.URL, cfg.Redis.URL = secret.URLs("nats://"+p.nats.address()), secret.URLs("redis://"+p.redis.address()+"/0")
	cfg.Graph.URL = "http://" + p.graph.address()
}

// step is a point at which a worker is killed.
type step struct {
	name string
	stop func(via proxies) <-chan struct{}
	// fault is what Meta does to the first request.
	fault graphtest.Fault
	// accepted: Meta has accepted events that Redis does not know as sent:
	// the steps that nobody can avoid.
	accepted bool
	// unsure: the claim is made and not confirmed, so the next worker cannot
	// know.
	unsure bool
	// buries: it is about a dead letter.
	buries bool
}

// steps lists the path of an event, step by step.
func steps() []step {
	// Meta is not to take the dataset's events for a while.
	paused := graphtest.Fault{Error: &graphtest.Error{Code: 190, Message: "the token is dead"}}
	return []step{
		{name: "fetched, not claimed", stop: func(via proxies) <-chan struct{} {
			return via.redis.hold(hold{at: toServer, match: ofAnEvent(setNX)})
		}},
		{name: "claimed, answer not read", unsure: true, stop: func(via proxies) <-chan struct{} {
			return via.redis.hold(hold{at: toClient, after: ofAnEvent(setNX), match: anything})
		}},
		{name: "claimed, request not begun", unsure: true, stop: func(via proxies) <-chan struct{} {
			return via.graph.hold(hold{at: connecting})
		}},
		{name: "request under way, not arrived", unsure: true, stop: func(via proxies) <-chan struct{} {
			return via.graph.hold(hold{at: toServer, match: anything})
		}},
		{name: "request processed, no answer yet", unsure: true, accepted: true, stop: func(via proxies) <-chan struct{} {
			return via.graph.hold(hold{at: toClient, match: contains("events_received")})
		}},
		{name: "answer read, not confirmed", unsure: true, accepted: true, stop: func(via proxies) <-chan struct{} {
			return via.redis.hold(hold{at: toServer, match: setSent.Match})
		}},
		{name: "confirmed, answer not read", stop: func(via proxies) <-chan struct{} {
			return via.redis.hold(hold{at: toClient, after: setSent.Match, match: anything})
		}},
		{name: "confirmed, not acknowledged", stop: func(via proxies) <-chan struct{} {
			return via.nats.hold(hold{at: toServer, match: acked.Match})
		}},
		{name: "dead letter stored, no word of it yet", buries: true, unsure: true, stop: func(via proxies) <-chan struct{} {
			return via.nats.hold(hold{at: toClient, match: contains(`"stream":"CAPI_DLQ"`)})
		}},
		{name: "dead letter stored, claim not released", buries: true, unsure: true, stop: func(via proxies) <-chan struct{} {
			return via.redis.hold(hold{at: toServer, match: ofAnEvent(release)})
		}},
		{name: "dead letter stored, not terminated", buries: true, stop: func(via proxies) <-chan struct{} {
			return via.nats.hold(hold{at: toServer, match: termed.Match})
		}},
		{name: "parked copy stored, no word of it yet", fault: paused, unsure: true, stop: func(via proxies) <-chan struct{} {
			return via.nats.hold(hold{at: toClient, match: contains(`"stream":"CAPI_PARKED"`)})
		}},
		{name: "parked copy stored, claim not released", fault: paused, unsure: true, stop: func(via proxies) <-chan struct{} {
			return via.redis.hold(hold{at: toServer, match: ofAnEvent(release)})
		}},
		{name: "parked copy stored, not acknowledged", fault: paused, stop: func(via proxies) <-chan struct{} {
			return via.nats.hold(hold{at: toServer, match: acked.Match})
		}},
	}
}

// row is what came of one crash.
type row struct {
	step, policy                         string
	published, lost, twice, maybe, dying int
}

// A worker is killed at each step of an event's path, and another one goes on.
// Nothing is lost. Nothing is accepted twice, but at the steps where Meta has
// accepted what Redis does not know of, and there only where the policy is to
// send again.
func TestCrashTable(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	var rows []row
	all := steps()
	t.Cleanup(func() { t.Log("\n" + crashTable(all, rows)) })
	for _, s := range all {
		for _, policy := range []dispatcher.OnUnknown{dispatcher.Resend, dispatcher.DeadLetter} {
			t.Run(s.name+"/"+string(policy), func(t *testing.T) {
				t.Parallel()
				came := s.crash(t, policy)
				mu.Lock()
				defer mu.Unlock()
				rows = append(rows, came)
			})
		}
	}
}

func (s step) crash(t *testing.T, policy dispatcher.OnUnknown) row {
	t.Helper()
	r := setup(t, func(cfg *config.Config) {
		cfg.Delivery.OnUnknown, cfg.Delivery.SendersPerDataset = policy, 1
		// Every crash waits for these times. A sixth of AckWait is what Redis has
		// to answer, on the busiest machine.
		cfg.Graph.Timeout, cfg.NATS.AckWait = 4*time.Second, 9*time.Second
		cfg.Dedupe.Takeover = 3 * cfg.NATS.AckWait
	})
	natsURL, err := url.Parse(r.nats.URL())
	require.NoError(t, err)
	var stopped atomic.Bool
	via := proxies{newProxyOf(t, &stopped, natsURL.Host), newProxyOf(t, &stopped, r.redis.Addr), newProxyOf(t, &stopped, r.graph.address)}
	r.lead = via.lead
	r.must("stream", "ensure")
	r.addDatasets(1)
	r.Script(datasetID(0), s.fault)
	l := s.load()
	r.publishAll(l.messages)

	reached := s.stop(via)
	first := r.launch(shipped)
	select {
	case <-reached:
	case <-time.After(time.Minute):
		r.printLog()
		t.Fatal("the step is never reached")
	}
	first.kill()
	for _, p := range []*proxy{via.nats, via.redis, via.graph} {
		p.cut()
	}
	stopped.Store(false) // the world goes on
	r.await("no request is under way", func() bool { return r.Ledger().InFlight() == 0 })
	inDoubt := r.sentAndNotRemembered(l.good)
	require.Equal(t, s.accepted, len(inDoubt) > 0, "the step is the one it should be")

	second := r.launch(shipped)
	r.await("the next worker is ready", func() bool { return second.readiness().Ready })
	r.awaitQuiet()
	return s.judge(r, second, policy, l, inDoubt)
}

// load is a few events, two of them twice where the step is about sending; or
// poison, where it is about that.
// They come as one message, so that they are one batch, however slow the
// machine is: a step is where all of it is.
func (s step) load() load {
	l := load{good: make(map[graphtest.Event]bool), poison: make(map[string]bool)}
	add := func(id, click string) {
		l.messages = append(l.messages, jetstreamMessage{"capi.events." + datasetID(0), event(id, click)})
	}
	if s.buries {
		l.poison["poison"] = true
		add("poison", "invalid")
		return l
	}
	var events []string
	for i := range 10 {
		id := fmt.Sprintf("order-%d", i)
		l.good[graphtest.Event{Dataset: datasetID(0), Name: "Purchase", ID: id}] = true
		events = append(events, event(id, "ARAkLk"))
	}
	l.messages = append(l.messages, jetstreamMessage{"capi.events." + datasetID(0), `{"data":[` + strings.Join(events, ",") + `]}`})
	if s.fault.Error == nil { // a copy of what was parked is the next to be claimed
		add("order-0", "ARAkLk")
		add("order-9", "ARAkLk")
	}
	return l
}

// judge holds the ledger, the dead letters and the metrics against the promise.
func (s step) judge(r *rig, second *worker, policy dispatcher.OnUnknown, l load, inDoubt []graphtest.Event) row {
	t := r.t
	t.Helper()
	came := row{step: s.name, policy: string(policy), published: len(l.good) + len(l.poison), maybe: second.metrics()["capi_events_maybe_sent_total"]}
	letters := make(map[string][]deadletter.Letter)
	for _, letter := range r.letters() {
		id := regexp.MustCompile(`"event_id":"([^"]*)"`).FindSubmatch(letter.Event)[1]
		letters[string(id)] = append(letters[string(id)], letter)
		if letter.Reason == deadletter.UnknownOutcome {
			came.dying++
			require.Equal(t, dispatcher.DeadLetter, policy)
			require.Positive(t, letter.MaybeSent, "a doubtful dead letter says so")
			require.NotZero(t, letter.Claim, "and keeps its claim")
		}
	}
	counts := r.Ledger().Counts()
	for e := range l.good {
		if counts[e] == 0 && len(letters[e.ID]) == 0 {
			came.lost++
		}
		came.twice += max(0, counts[e]-1)
	}
	require.Zero(t, came.lost, "lost")
	require.Len(t, letters["poison"], len(l.poison), "poison is dead-lettered, once")
	require.Equal(t, s.unsure, came.maybe > 0, "what cannot be known is counted: %d", came.maybe)
	if s.accepted && policy == dispatcher.Resend {
		require.Equal(t, len(inDoubt), came.twice, "accepted twice: those in doubt, and no others")
	} else {
		require.Zero(t, came.twice, "accepted twice")
	}
	if policy == dispatcher.Resend {
		require.Len(t, letters, len(l.poison), "nothing but poison is dead-lettered")
	} else {
		require.Equal(t, s.unsure && !s.buries, came.dying > 0, "what cannot be known is dead-lettered")
	}
	return came
}

// crashTable renders what came of all crashes, in the order of the steps.
func crashTable(all []step, rows []row) string {
	var text strings.Builder
	table := tabwriter.NewWriter(&text, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "KILLED WHEN\tON_UNKNOWN\tPUBLISHED\tLOST\tTWICE\tMAYBE SENT\tDEAD-LETTERED AS UNKNOWN")
	for _, s := range all {
		for _, policy := range []string{"resend", "dead_letter"} {
			at := slices.IndexFunc(rows, func(r row) bool { return r.step == s.name && r.policy == policy })
			if at < 0 {
				fmt.Fprintf(table, "%s\t%s\tbroken\n", s.name, policy)
				continue
			}
			r := rows[at]
			fmt.Fprintf(table, "%s\t%s\t%d\t%d\t%d\t%d\t%d\n", r.step, r.policy, r.published, r.lost, r.twice, r.maybe, r.dying)
		}
	}
	_ = table.Flush()
	return text.String()
}
