package dispatcher_test

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/attribute"

	"github.com/capi-dispatcher/capi-dispatcher/dedupe"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/claims"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/deadletter"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/header"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/streams"
	"github.com/capi-dispatcher/capi-dispatcher/graph/graphtest"
)

func TestCopiesAreDropped(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.publish(dataset, event("a"), event("a"), body(event("a"), event("b"), event("b")))
	b.awaitQuiet()
	b.publish(dataset, event("a"), event("b"))
	b.awaitQuiet()
	b.requireOnce("a", "b")
	b.requireBalance()
	require.EqualValues(t, 5, b.books("capi.events.settled", attribute.String("outcome", "duplicate")))
}

func TestDatasetsMayShareIDs(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.publish(dataset, event("a"))
	b.publish(other, event("a"))
	b.awaitAccepted(2)
}

func TestIdentity(t *testing.T) {
	t.Parallel()
	rename := func(e string) string { return strings.Replace(e, "LeadSubmitted", "AddToCart", 1) }
	for name, tc := range map[string]struct {
		kind     dispatcher.IdentityKind
		first    string
		second   string
		msgIDs   [2]string
		accepted int
	}{
		"by name and id":                 {dispatcher.ByEvent, event("a"), rename(event("a")), [2]string{}, 2},
		"by id alone":                    {dispatcher.ByEventID, event("a"), rename(event("a")), [2]string{}, 1},
		"no id: by Nats-Msg-Id":          {dispatcher.ByEvent, withoutID("1"), withoutID("2"), [2]string{"m", "m"}, 1},
		"no id: by another Nats-Msg-Id":  {dispatcher.ByEvent, withoutID("1"), withoutID("1"), [2]string{"m1", "m2"}, 2},
		"no id: by content":              {dispatcher.ByEvent, withoutID("1"), " " + withoutID("1"), [2]string{}, 1},
		"no id: by other content":        {dispatcher.ByEvent, withoutID("1"), withoutID("2"), [2]string{}, 2},
		"the id beats the Nats-Msg-Id":   {dispatcher.ByEvent, event("a"), event("a"), [2]string{"m1", "m2"}, 1},
		"ids that differ by their type":  {dispatcher.ByEvent, strings.Replace(event("7"), `"7"`, `7`, 1), event("7"), [2]string{}, 1},
		"two events without id together": {dispatcher.ByEvent, body(withoutID("1"), withoutID("2")), body(withoutID("1"), withoutID("2")), [2]string{"m", "m2"}, 4},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, func(o *options) { o.cfg.Identity = tc.kind })
			for i, data := range []string{tc.first, tc.second} {
				msg := &nats.Msg{Subject: "capi.events." + dataset, Data: []byte(data), Header: nats.Header{}}
				if tc.msgIDs[i] != "" {
					msg.Header.Set(nats.MsgIdHdr, tc.msgIDs[i])
				}
				b.republish(msg)
				b.awaitQuiet()
			}
			require.Equal(t, tc.accepted, b.Ledger().Sum().Events)
		})
	}
}

// republish puts a message on the stream as soon as the stream has forgotten
// its Nats-Msg-Id: the broker's own memory is not what is tested here.
func (b *harness) republish(msg *nats.Msg) {
	b.t.Helper()
	const muchLonger = 20 * time.Second // than the window of the events' stream, and much less than NATS' own default
	require.Eventually(b.t, func() bool {
		ack, err := b.js.PublishMsg(b.t.Context(), msg)
		require.NoError(b.t, err)
		return !ack.Duplicate
	}, muchLonger, 5*time.Millisecond, "the broker has forgotten the message id")
}

// withoutID is an event without event_id.
func withoutID(mark string) string {
	return strings.Replace(event("x"), `"event_id":"x"`, `"mark":"`+mark+`"`, 1)
}

// Nats-Msg-Id is one name space for the whole stream: NATS itself would let the
// event of one dataset swallow that of another.
func TestTwoDatasetsMayUseOneMessageID(t *testing.T) {
	t.Parallel()
	for name, header := range map[string]string{"Nats-Msg-Id": nats.MsgIdHdr, "Capi-Dedupe-Id": header.DedupeID} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			order := func(shop, mark string) *nats.Msg {
				return &nats.Msg{
					Subject: "capi.events." + shop, Data: []byte(withoutID(mark)), Header: nats.Header{header: {"order-1001"}},
				}
			}
			b.republish(order(dataset, "A"))
			b.republish(order(other, "B"))
			b.awaitAccepted(2)
			b.republish(order(dataset, "A's copy, made anew"))
			b.awaitQuiet()
			require.Equal(t, 2, b.Ledger().Sum().Events, "within a dataset it identifies an event")
			require.EqualValues(t, 1, b.books("capi.events.settled", attribute.String("outcome", "duplicate")))
		})
	}
}

// elsewhere is another worker's Store.
func (b *harness) elsewhere() *dedupe.Store {
	return dedupe.New(b.options.dedupe, b.options.cfg.Streams.ClaimLease(), b.options.redis)
}

// claimOf is the claim that another message would have on the event "a".
func claimOf(sequence uint64) []dedupe.Claim {
	return []dedupe.Claim{{
		Key:   dedupe.NewKey("capi-dispatcher", dataset, "event", "LeadSubmitted", "a"),
		Owner: dedupe.NewOwner(7, sequence), Holder: 1,
	}}
}

func TestACopyWaitsForTheMessageThatHasTheClaim(t *testing.T) {
	t.Parallel()
	b := setup(t)
	elsewhere := b.elsewhere()
	require.Equal(t, dedupe.Fresh, elsewhere.Claim(t.Context(), claimOf(9))[0].State)
	b.publish(dataset, event("a"), event("b"))
	b.awaitAccepted(1)
	b.requireOnce("b")
	b.await("the copy waits", func() bool { return b.settledAs("returned") > 0 })
	_, err := elsewhere.Confirm(t.Context(), claimOf(9)) // the other worker has sent it
	require.NoError(t, err)
	b.awaitQuiet()
	b.requireOnce("b")
	require.EqualValues(t, 1, b.books("capi.events.settled", attribute.String("outcome", "duplicate")))
	b.requireBalance()
}

func TestACopyGoesOnWhereTheFirstMessageGaveUp(t *testing.T) {
	t.Parallel()
	b := setup(t)
	elsewhere := b.elsewhere()
	elsewhere.Claim(t.Context(), claimOf(9))
	b.publish(dataset, event("a"))
	b.await("the copy is held", func() bool {
		return b.books("capi.events.settled", attribute.String("outcome", "returned")) > 0
	})
	_, err := elsewhere.Release(t.Context(), claimOf(9))
	require.NoError(t, err)
	b.awaitAccepted(1)
	require.Zero(t, b.books("capi.events.maybe_sent"))
}

func TestTheClaimOfAVanishedMessageIsTakenOver(t *testing.T) {
	t.Parallel()
	b := setup(t, func(o *options) {
		o.dedupe.Takeover = 3 * time.Second
	})
	elsewhere := b.elsewhere()
	elsewhere.Claim(t.Context(), claimOf(9))
	b.publish(dataset, event("a"))
	b.awaitQuiet()
	b.requireOnce("a")
	require.EqualValues(t, 1, b.books("capi.events.maybe_sent"), "the vanished message may have been sent")
}

// A worker that died between POST and confirmation leaves its claim. The
// redelivered message finds it, and the policy decides.
func TestARedeliveryFindsItsOwnClaim(t *testing.T) {
	t.Parallel()
	for policy, want := range map[dispatcher.OnUnknown]graphtest.Totals{
		dispatcher.Resend:     {Requests: 1, Batches: 1, Events: 1, Largest: 1},
		dispatcher.DeadLetter: {},
	} {
		t.Run(string(policy), func(t *testing.T) {
			t.Parallel()
			b := setup(t, impatient, func(o *options) { o.cfg.Delivery.OnUnknown = policy })
			b.stop(b.running)
			b.publish(dataset, event("a"))
			stream, err := b.js.Stream(t.Context(), "CAPI")
			require.NoError(t, err)
			claim := claimOf(1)
			claim[0].Owner = dedupe.NewOwner(dedupe.NewEpoch("CAPI", stream.CachedInfo().Created.UnixNano()), 1)
			b.elsewhere().Claim(t.Context(), claim)
			b.start()
			b.awaitQuiet()
			require.Equal(t, want, b.Ledger().Sum())
			if policy == dispatcher.DeadLetter {
				letter := b.awaitLetters(1)[0]
				require.EqualValues(t, "unknown_outcome", letter.Reason)
				require.Equal(t, 1, letter.MaybeSent)
			}
		})
	}
}

// Two copies come back after a crash, and the one that has the claim is second
// in line: it must not be turned away along with the first.
func TestTheClaimsOwnerMayStandSecondInLine(t *testing.T) {
	t.Parallel()
	b := setup(t, impatient)
	b.stop(b.running)
	b.publish(dataset, event("a"), event("a"))
	stream, err := b.js.Stream(t.Context(), "CAPI")
	require.NoError(t, err)
	claim := claimOf(2)
	claim[0].Owner = dedupe.NewOwner(dedupe.NewEpoch("CAPI", stream.CachedInfo().Created.UnixNano()), 2)
	b.elsewhere().Claim(t.Context(), claim)
	b.start()
	b.awaitQuiet()
	b.requireOnce("a")
}

// A dead letter that may have been sent keeps its claim: a copy of its event is
// not sent either, until somebody has the letter replayed.
func TestCopiesOfADoubtfulDeadLetterAreNotSent(t *testing.T) {
	t.Parallel()
	b := setup(t, func(o *options) {
		o.cfg.Delivery.OnUnknown = dispatcher.DeadLetter
		o.dedupe.Takeover = 4 * time.Second
	})
	b.Script(dataset, graphtest.Fault{Accept: true, Drop: true})
	b.publish(dataset, event("a"))
	letter := b.awaitLetters(1)[0]
	require.NotZero(t, letter.Claim)
	require.Equal(t, 1, letter.MaybeSent)
	b.awaitQuiet()
	b.publish(dataset, event("a"))
	b.awaitQuiet()
	b.requireOnce("a")
	require.Len(t, b.letters(), 2, "the copy ends like the first")

	box, err := deadletter.Open(t.Context(), b.js, streams.Default().Letters())
	require.NoError(t, err)
	last, err := box.Get(t.Context(), 2)
	require.NoError(t, err)
	require.NoError(t, box.Replay(t.Context(), last, true))
	b.await("what is replayed is sent at once", func() bool { return b.Ledger().Sum().Events == 2 })
}

// A dead letter that was surely not sent gives its claim up, for a corrected
// copy to pass.
func TestCopiesOfARefusedEventMayPass(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.publish(dataset, poison("a"))
	require.Zero(t, b.awaitLetters(1)[0].Claim)
	b.publish(dataset, event("a"))
	b.awaitAccepted(1)
}

// forgetful is a Redis that takes a contested claim over and loses the answer.
type forgetful struct {
	claims.Store

	lost atomic.Int64
}

func (f *forgetful) Claim(ctx context.Context, claims []dedupe.Claim) []dedupe.Result {
	results := f.Store.Claim(ctx, claims)
	if results[0].State == dedupe.Inherited && f.lost.Add(1) == 1 {
		return []dedupe.Result{{Err: errors.New("lost")}}
	}
	return results
}

// What was taken over may have been sent, also if the answer to the take-over
// got lost.
func TestATakeOverWhoseAnswerGotLost(t *testing.T) {
	t.Parallel()
	var store *forgetful
	b := setup(t, func(o *options) {
		o.dedupe.Takeover = 3 * time.Second
		o.claims = func(c claims.Store) claims.Store {
			store = &forgetful{Store: c}
			return store
		}
	})
	claim := claimOf(9)
	b.elsewhere().Claim(t.Context(), claim)
	b.await("the claim is old", func() bool {
		return b.options.dedupe.Window-b.options.redis.PTTL(t.Context(), string(claim[0].Key[:])).Val() >= b.options.dedupe.Takeover
	})
	b.publish(dataset, event("a"))
	b.awaitQuiet()
	b.requireOnce("a")
	require.EqualValues(t, 1, store.lost.Load())
	require.EqualValues(t, 1, b.books("capi.events.maybe_sent"))
}

// A batch may take longer than the takeover time. What another worker has taken
// over meanwhile is left to it.
func TestOldClaimsAreRenewedBeforeRequests(t *testing.T) {
	t.Parallel()
	b := setup(t, func(o *options) {
		o.cfg.Streams.AckWait, o.graph.Timeout = 24*time.Second, 10*time.Second
		o.dedupe.Takeover = 8 * time.Second
	})
	b.Always(dataset, graphtest.Fault{Delay: 2 * time.Second})
	// Halving takes a dozen requests; the last event is in the last of them.
	b.publish(dataset, body(poison("1"), event("2"), poison("3"), event("4"), poison("5"), event("6"), poison("7"), event("a")))
	elsewhere, claim := b.elsewhere(), claimOf(9)
	b.await("it is under way", func() bool { return b.Ledger().Sum().Requests > 0 })
	b.await("the claim can be taken over", func() bool { return elsewhere.Claim(t.Context(), claim)[0].State == dedupe.Inherited })
	require.Less(t, b.Ledger().Sum().Requests, 12, "the event has not been sent yet")
	_, err := elsewhere.Confirm(t.Context(), claim)
	require.NoError(t, err)
	b.awaitQuiet()
	b.requireOnce("2", "4", "6")
}

// partial is a Redis of which a part is away: not the part that is probed.
type partial struct {
	claims.Store

	failures atomic.Int64 // to come
}

func (p *partial) Claim(ctx context.Context, claims []dedupe.Claim) []dedupe.Result {
	ofAnEvent := claims[0].Owner != dedupe.NewOwner(1, 1) // and not the worker's turn to look for overdue events
	if ofAnEvent && p.failures.Add(-1) >= 0 {
		return []dedupe.Result{{Err: errors.New("this part is away")}}
	}
	return p.Store.Claim(ctx, claims)
}

// A probe that succeeds is no reason to ask without a pause where claims fail.
func TestAPartOfRedisIsAskedEverMoreSlowly(t *testing.T) {
	t.Parallel()
	b := setup(t, func(o *options) {
		o.claims = func(c claims.Store) claims.Store {
			p := &partial{Store: c}
			p.failures.Store(4)
			return p
		}
	})
	began := time.Now()
	b.publish(dataset, event("a"))
	b.awaitAccepted(1)
	require.GreaterOrEqual(t, time.Since(began), 1500*time.Millisecond, "0.1, 0.2, 0.4 and 0.8 s")
	b.requireOnce("a")
}
