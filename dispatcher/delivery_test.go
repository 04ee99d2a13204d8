package dispatcher_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/attribute"

	"github.com/capi-dispatcher/capi-dispatcher/dispatcher"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/deadletter"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/retry"
	"github.com/capi-dispatcher/capi-dispatcher/graph/graphtest"
)

// What the policy promises for every way in which Graph can answer once: how
// often Meta has the events in the end, and where they end.
func TestOneBadAnswer(t *testing.T) {
	t.Parallel()
	const html = "<html>Bad Gateway</html>"
	for name, tc := range map[string]struct {
		fault    graphtest.Fault
		verdict  string
		accepted int // times, with on_unknown: resend
		careful  int // times, with on_unknown: dead_letter
	}{
		"500":                        {graphtest.Fault{Status: 500}, "retry", 1, 1},
		"503 as HTML":                {graphtest.Fault{Status: 503, Body: html}, "retry", 1, 1},
		"429":                        {graphtest.Fault{Status: 429}, "throttled", 1, 1},
		"190":                        {graphtest.Fault{Error: graphtest.TokenExpired()}, "paused", 1, 1},
		"permission":                 {graphtest.Fault{Error: graphtest.PermissionMissing()}, "paused", 1, 1},
		"502 as HTML":                {graphtest.Fault{Status: 502, Body: html}, "unknown", 1, 0},
		"dropped before accepting":   {graphtest.Fault{Drop: true}, "unknown", 1, 0},
		"dropped after accepting":    {graphtest.Fault{Accept: true, Drop: true}, "unknown", 2, 1},
		"half a body, accepted":      {graphtest.Fault{Accept: true, Cut: true}, "unknown", 2, 1},
		"half a body, not accepted":  {graphtest.Fault{Cut: true}, "unknown", 1, 0},
		"HTML for a 200":             {graphtest.Fault{Accept: true, Status: 200, Body: html}, "unknown", 2, 1},
		"no answer in time":          {graphtest.Fault{Accept: true, AnswerDelay: time.Minute}, "unknown", 2, 1},
		"fewer received than sent":   {graphtest.Fault{Accept: true, Short: 1}, "unknown", 2, 1},
		"no trouble, for comparison": {graphtest.Fault{}, "accepted", 1, 1},
	} {
		for _, policy := range []dispatcher.OnUnknown{dispatcher.Resend, dispatcher.DeadLetter} {
			t.Run(name+"/"+string(policy), func(t *testing.T) {
				t.Parallel()
				b := setup(t, func(o *options) {
					o.cfg.Delivery.OnUnknown = policy
					if tc.fault.AnswerDelay > 0 {
						o.graph.Timeout = 3 * time.Second
					}
				})
				b.Script(dataset, tc.fault)
				b.publish(dataset, body(event("a"), event("b")))
				b.awaitQuiet()
				b.requireBalance()
				want := tc.accepted
				if policy == dispatcher.DeadLetter {
					want = tc.careful
				}
				for _, id := range []string{"a", "b"} {
					require.Equal(t, want, b.Ledger().Counts()[graphtest.Event{Dataset: dataset, Name: "LeadSubmitted", ID: id}])
				}
				require.Positive(t, b.books("capi.requests", attribute.String("verdict", tc.verdict)))
				if tc.verdict != "unknown" {
					require.Zero(t, b.books("capi.events.maybe_sent"))
					require.Empty(t, b.letters())
					return
				}
				require.EqualValues(t, 2, b.books("capi.events.maybe_sent"))
				if policy == dispatcher.Resend {
					require.Empty(t, b.letters())
					return
				}
				for _, letter := range b.awaitLetters(2) {
					require.Equal(t, deadletter.UnknownOutcome, letter.Reason)
					require.Equal(t, 1, letter.MaybeSent)
					require.Equal(t, 1, letter.Attempts)
					require.NotEmpty(t, letter.Graph.Message)
				}
			})
		}
	}
}

func TestAnEndpointThatNeverAnswersIsNotFedForever(t *testing.T) {
	t.Parallel()
	b := setup(t, func(o *options) {
		o.cfg.Delivery.MaxUnknown = 3
		o.cfg.Delivery.Retry.Budget = time.Minute
	})
	b.Always(dataset, graphtest.Fault{Accept: true, Drop: true})
	b.publish(dataset, body(events(100)...))
	letters := b.awaitLetters(100)
	for _, letter := range letters {
		require.Equal(t, deadletter.UnknownOutcome, letter.Reason)
		require.LessOrEqual(t, letter.MaybeSent, 3)
	}
	_, again := b.Ledger().Distinct()
	require.LessOrEqual(t, again, 200)
	b.awaitQuiet()
}

func TestAfterAnUnknownOutcomeOneEventGoesFirst(t *testing.T) {
	t.Parallel()
	b := setup(t, func(o *options) { o.cfg.Delivery.Retry.Budget = time.Minute })
	drop := graphtest.Fault{Accept: true, Drop: true}
	b.Script(dataset, drop, drop)
	b.publish(dataset, body(events(100)...))
	b.awaitAccepted(100)
	b.awaitQuiet()
	_, again := b.Ledger().Distinct()
	require.Equal(t, 101, again, "the second request risked one event and not a hundred")
}

func TestParkedEventsComeBack(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.Always(dataset, graphtest.Fault{Status: 500})
	b.publish(dataset, `{"data":[`+event("a")+`,`+event("b")+`],"partner_agent":"acme","upload_tag":"spring"}`)
	b.publish(other, event("elsewhere"))
	b.await("the events are parked twice", func() bool {
		return b.books("capi.events.settled", attribute.String("outcome", "parked")) >= 4
	})
	b.await("what is parked holds no place in the consumer", func() bool { return b.ackPending() == 0 })
	b.awaitParked(2)
	b.Clear(dataset)
	b.awaitAccepted(3)
	b.awaitQuiet()
	b.requireBalance()
	for _, entry := range b.Ledger().Entries() {
		if entry.Dataset == dataset {
			require.Equal(t, "acme", entry.PartnerAgent, "what the request body said is not forgotten")
		}
	}
	require.Empty(t, b.letters())
}

func TestParkedEventsExpireIntoDeadLetters(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.Always(dataset, graphtest.Fault{Status: 500})
	nearlyTooOld := time.Now().Add(-7*24*time.Hour + 15*time.Second)
	b.publish(dataset, eventAt("a", nearlyTooOld))
	letter := b.awaitLetters(1)[0]
	require.Equal(t, deadletter.Expired, letter.Reason)
	require.Positive(t, letter.Attempts)
	require.Equal(t, "capi.events."+dataset, letter.OriginSubject, "where it was published first")
	require.EqualValues(t, 1, letter.OriginSequence)
	require.Equal(t, eventAt("a", nearlyTooOld), string(letter.Event))
	b.awaitQuiet()
}

func TestACopyOfASentEventDoesNotExpire(t *testing.T) {
	t.Parallel()
	b := setup(t)
	expiry := time.Now().Add(15 * time.Second)
	nearlyTooOld := eventAt("a", expiry.Add(-7*24*time.Hour))
	b.publish(dataset, nearlyTooOld)
	b.awaitAccepted(1)
	time.Sleep(time.Until(expiry.Add(time.Second))) // the event itself has to age
	b.publish(dataset, nearlyTooOld)
	b.awaitQuiet()
	require.Empty(t, b.letters())
	require.EqualValues(t, 1, b.books("capi.events.settled", attribute.String("outcome", "duplicate")))
}

func TestMetasOwnDelayIsHonoured(t *testing.T) {
	t.Parallel()
	b := setup(t, func(o *options) { o.cfg.Delivery.Retry.Budget = 10 * time.Second })
	b.Script(dataset, graphtest.Fault{Status: 429, Header: map[string]string{"Retry-After": "2"}})
	began := time.Now()
	b.publish(dataset, event("a"))
	b.awaitAccepted(1)
	require.GreaterOrEqual(t, time.Since(began), 2*time.Second)
	require.Zero(t, b.books("capi.events.settled", attribute.String("outcome", "parked")), "two seconds are within the budget")
}

func TestALongThrottleParks(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.Script(dataset, graphtest.Fault{Status: 429, Header: map[string]string{"Retry-After": "3"}})
	began := time.Now()
	b.publish(dataset, event("a"))
	b.awaitAccepted(1)
	require.GreaterOrEqual(t, time.Since(began), 3*time.Second)
	require.EqualValues(t, 1, b.books("capi.events.settled", attribute.String("outcome", "parked")))
	require.Equal(t, 2, b.Ledger().Sum().Requests, "nobody asked before the time was up")
}

func TestADeadTokenPausesItsDatasetUntilItIsReplaced(t *testing.T) {
	t.Parallel()
	b := setup(t, func(o *options) { o.cfg.Delivery.Park = retry.Backoff{Initial: time.Second, Max: time.Hour} })
	b.AddDataset(dataset, "the-new-token")
	b.publish(dataset, events(50)...)
	b.publish(other, event("elsewhere"))
	b.await("the dataset is paused, and the other is not", func() bool {
		return b.books("capi.events.settled", attribute.String("outcome", "parked")) > 0 && b.Ledger().Totals(other).Events == 1
	})
	require.Empty(t, b.letters(), "a token's fault is not the events'")
	b.writeToken(dataset, "the-new-token", b.options.graph)
	b.awaitAccepted(51)
	b.awaitQuiet()
	require.Empty(t, b.letters())
	totals := b.Ledger().Totals(dataset)
	require.LessOrEqual(t, totals.Requests-totals.Batches, 20, "it was not tried over and over")
	b.requireBalance()
}

func TestAMissingTokenPauses(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.AddDataset("333", "token-of-333")
	b.writeToken("333", "", b.options.graph)
	b.publish("333", event("a"))
	b.await("it is parked", func() bool { return b.books("capi.events.settled", attribute.String("outcome", "parked")) > 0 })
	b.writeToken("333", "token-of-333", b.options.graph)
	b.awaitAccepted(1)
	require.Empty(t, b.letters())
}

func TestAnUnlinkedAccountWaitsAndItsNeighboursDoNot(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.LinkAssets(dataset, "102")
	unlinked := strings.Replace(event("unlinked"), `"102"`, `"103"`, 1)
	b.publish(dataset, body(event("a"), unlinked, event("b")))
	b.awaitAccepted(2)
	b.await("it is parked", func() bool { return b.books("capi.events.settled", attribute.String("outcome", "parked")) > 0 })
	require.Empty(t, b.letters())
	b.publish(dataset, event("c"))
	b.awaitAccepted(3)
	b.LinkAssets(dataset, "102", "103")
	b.awaitAccepted(4)
	b.awaitQuiet()
	b.requireOnce("a", "b", "c", "unlinked")
}

func TestEachEnvelopeGetsRequestsOfItsOwn(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.publish(dataset, body(event("a")), `{"data":[`+event("b")+`],"test_event_code":"T1"}`, `{"data":[`+event("c")+`],"test_event_code":"T2"}`)
	b.awaitAccepted(3)
	require.Equal(t, 3, b.Ledger().Sum().Batches)
	b.awaitQuiet()
}

func TestBatchesAreFull(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.Always(dataset, graphtest.Fault{Delay: 100 * time.Millisecond})
	b.stop(b.running)
	b.publish(dataset, events(3000)...)
	b.running = b.start()
	b.awaitAccepted(3000)
	b.awaitQuiet()
	sum := b.Ledger().Sum()
	require.LessOrEqual(t, sum.Largest, 1000)
	require.Less(t, sum.Batches, 300, "events gather while requests are in flight")
	b.requireBalance()
}

func TestASlowDatasetDoesNotSlowAnother(t *testing.T) {
	t.Parallel()
	b := setup(t, func(o *options) {
		o.cfg.Delivery.Senders = 3
		o.cfg.Streams.AckWait, o.graph.Timeout = 2*time.Minute, 40*time.Second
	})
	b.Always(dataset, graphtest.Fault{Delay: 15 * time.Second})
	b.publish(dataset, events(20)...)
	for i := range 20 {
		b.publish(other, event(fmt.Sprint("o", i)))
	}
	b.await("the other dataset's events are through", func() bool { return b.Ledger().Totals(other).Events == 20 })
	require.Zero(t, b.Ledger().Totals(dataset).Events, "they have not waited for the slow one")
	b.Clear(dataset)
	b.awaitAccepted(40)
	b.awaitQuiet()
}

// What a slow dataset cannot get rid of is parked when it would fill what may
// be in flight, and the others go on.
func TestACongestedDatasetMakesRoom(t *testing.T) {
	t.Parallel()
	b := setup(t, func(o *options) {
		o.cfg.Delivery.MaxInFlight = 100
		o.cfg.Delivery.SendersPerDataset, o.cfg.Delivery.SendersPerDatasetMax = 1, 1
		o.cfg.Delivery.MaxWait = time.Second
		o.batch.MaxEvents = 10
	})
	b.Always(dataset, graphtest.Fault{Delay: 1500 * time.Millisecond})
	b.publish(dataset, events(200)...)
	b.publish(other, event("behind them all"))
	b.await("the other dataset's event is through", func() bool { return b.Ledger().Totals(other).Events == 1 })
	require.Less(t, b.Ledger().Totals(dataset).Events, 100, "long before the slow one is done")
	require.Positive(t, b.books("capi.events.settled", attribute.String("outcome", "parked")))
	b.Clear(dataset)
	b.awaitAccepted(201)
	b.awaitQuiet()
	_, again := b.Ledger().Distinct()
	require.Zero(t, again)
}
