package dispatcher_test

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/attribute"

	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/retry"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/streams"
	"github.com/capi-dispatcher/capi-dispatcher/graph/graphtest"
)

// longForms reports whether tests of faults are to run as long as it takes to
// give figures: `make faults`.
func longForms() bool { return os.Getenv("FAULTS_LONG") != "" }

// change changes a stream, and returns what it was like before.
func (b *harness) change(name string, change func(*jetstream.StreamConfig)) (before jetstream.StreamConfig) {
	b.t.Helper()
	stream, err := b.js.Stream(b.t.Context(), name)
	require.NoError(b.t, err)
	before = stream.CachedInfo().Config
	after := before
	change(&after)
	_, err = b.js.UpdateStream(b.t.Context(), after)
	require.NoError(b.t, err)
	return before
}

// What a stream can refuse everything for.
func takesNothing(c *jetstream.StreamConfig)      { c.MaxMsgs = 1 }
func takesNothingLarge(c *jetstream.StreamConfig) { c.MaxMsgSize = 10 }

// unmanaged starts the worker anew, so that it creates no streams.
func (b *harness) unmanaged() {
	b.t.Helper()
	b.stop(b.running)
	b.options.cfg.Streams.Manage = false
	b.running = b.start()
}

// publishPoison publishes n events of a dataset that Meta refuses, without
// waiting for each.
func (b *harness) publishPoison(to, prefix string, n int) {
	b.t.Helper()
	for i := range n {
		_, err := b.js.PublishAsync("capi.events."+to, []byte(poison(fmt.Sprint(prefix, i))))
		require.NoError(b.t, err)
		if i%1000 == 999 {
			<-b.js.PublishAsyncComplete()
		}
	}
	<-b.js.PublishAsyncComplete()
}

// One dataset's dead letters find no place. All events of the others get
// through, although its own are more than may be under way; and they are not
// posted again until there is room.
func TestDeadLettersThatAreRefusedBlockNobody(t *testing.T) {
	t.Parallel()
	bad, each := 750, 100
	if longForms() {
		bad, each = 25_000, 950
	}
	for name, refuse := range map[string]func(*harness) (mend func()){
		"full": func(b *harness) func() {
			b.publish(other, `{`)
			b.awaitLetters(1)
			before := b.change("CAPI_DLQ", takesNothing)
			return func() { b.change("CAPI_DLQ", func(c *jetstream.StreamConfig) { *c = before }) }
		},
		"deleted": (*harness).withoutDeadLetters,
		"silent": func(b *harness) func() {
			create := b.withoutDeadLetters()
			deaf, err := b.js.Conn().Subscribe("capi.dead.>", func(*nats.Msg) {})
			require.NoError(b.t, err)
			return func() {
				require.NoError(b.t, deaf.Unsubscribe())
				create()
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, func(o *options) {
				o.cfg.Streams.MaxAckPending, o.cfg.Delivery.Park = 600, retry.Backoff{Initial: 4 * time.Second, Max: 8 * time.Second}
				if longForms() {
					o.cfg.Streams.MaxAckPending, o.cfg.Delivery.Park.Initial = streams.Default().MaxAckPending, time.Minute
					o.cfg.Delivery.Park.Max = time.Minute // and no 15, or the last letter takes as long
				}
			})
			b.unmanaged()
			for i := range crowd {
				b.AddDataset(member(i), token)
			}
			mend := refuse(b)
			sick := member(crowd - 1)
			b.publishPoison(sick, "bad", bad)
			for i := range crowd - 1 {
				b.publishMany(member(i), "well", each)
			}
			began := time.Now()
			b.awaitAccepted((crowd - 1) * each)
			t.Logf("the others' %d events took %s", (crowd-1)*each, time.Since(began).Round(time.Millisecond))
			b.await("each is a letter, and nothing is held", func() bool { return b.onlyLettersWait(sick) })
			b.awaitCondition("exits", false)
			require.Contains(t, b.condition("exits").Reason, "cannot publish to capi.dead."+sick+".refused")
			require.True(t, b.running.ready(), "events flow")
			refused := attribute.String("reason", "refused")
			waiting := func() int64 {
				return b.books("capi.events.settled", attribute.String("outcome", "parked"), because("undelivered"))
			}
			require.GreaterOrEqual(t, b.streamSize("CAPI_PARKED"), uint64(bad))
			requests := b.Ledger().Totals(sick).Requests
			require.LessOrEqual(t, requests, 2*bad+bad/50, "as many as it takes to find them")
			b.await("letters are tried again", func() bool { return waiting() > int64(bad) })
			mend()
			b.awaitLetters(bad + 1)
			b.awaitQuiet()
			b.awaitCondition("exits", true)
			require.Equal(t, requests, b.Ledger().Totals(sick).Requests, "no dead event is posted again")
			t.Logf("%d requests for %d bad events, %s until each had its letter", requests, bad, time.Since(began).Round(time.Second))
			b.requireALetterEach(sick, bad)
			b.requireNoneTwice()
			b.requireBalance()
			require.EqualValues(t, bad, b.books("capi.events.settled", attribute.String("outcome", "dead_lettered"), refused))
		})
	}
}

// onlyLettersWait reports whether every event of a dataset has been decided about:
// nothing is left but dead letters on their way. Those are not asked for: to list so
// many again and again would take what the worker needs to come to an end.
func (b *harness) onlyLettersWait(of string) bool {
	if b.ackPending() > 0 || b.pending() > 0 {
		return false
	}
	stream, err := b.js.Stream(b.t.Context(), "CAPI_PARKED")
	require.NoError(b.t, err)
	// What comes back between two looks, and is parked again, is seen by the third.
	for _, subject := range []string{"wait." + of + ".>", "due." + of, "wait." + of + ".>"} {
		_, err := stream.GetLastMsgForSubject(b.t.Context(), "capi.parked."+subject)
		if !errors.Is(err, jetstream.ErrMsgNotFound) {
			require.NoError(b.t, err)
			return false
		}
	}
	return true
}

// withoutDeadLetters deletes the stream of dead letters, and returns what creates
// it again, with one letter.
func (b *harness) withoutDeadLetters() (create func()) {
	b.t.Helper()
	stream, err := b.js.Stream(b.t.Context(), "CAPI_DLQ")
	require.NoError(b.t, err)
	require.NoError(b.t, b.js.DeleteStream(b.t.Context(), "CAPI_DLQ"))
	return func() {
		_, err := b.js.CreateStream(b.t.Context(), stream.CachedInfo().Config)
		require.NoError(b.t, err)
		b.publish(other, `{`)
	}
}

// requireALetterEach asserts that each of n events has one letter.
func (b *harness) requireALetterEach(of string, n int) {
	b.t.Helper()
	seen := make(map[string]bool, n)
	for _, letter := range b.letters() {
		if letter.Dataset != of {
			continue
		}
		require.False(b.t, seen[string(letter.Event)], "one letter each")
		seen[string(letter.Event)] = true
		require.EqualValues(b.t, "refused", letter.Reason)
		require.NotNil(b.t, letter.Graph)
		require.Equal(b.t, "capi.events."+of, letter.OriginSubject)
		require.Positive(b.t, letter.Attempts)
	}
	require.Len(b.t, seen, n)
}

// Neither stream takes anything. The others' events flow while less than half of
// what may be under way is held; beyond that, a condition says so.
func TestBothExitsRefuse(t *testing.T) {
	t.Parallel()
	const most, few, more, each = 2_000, 900, 200, 100
	b := setup(t, func(o *options) { o.cfg.Streams.MaxAckPending = most })
	for i := range crowd {
		b.AddDataset(member(i), token)
	}
	letters, parking := b.change("CAPI_DLQ", takesNothingLarge), b.change("CAPI_PARKED", takesNothingLarge)
	sick := member(crowd - 1)
	bad := func(prefix string, n int) {
		for i := range n {
			b.publish(sick, fmt.Sprintf("{%q", fmt.Sprint(prefix, i)))
		}
	}
	bad("few", few)
	for i := range crowd - 1 {
		b.publishMany(member(i), "well", each)
	}
	b.awaitAccepted((crowd - 1) * each)
	b.awaitCondition("exits", false)
	require.Contains(t, b.condition("exits").Reason, "capi.dead.")
	require.Contains(t, b.condition("exits").Reason, "capi.parked.")
	require.False(t, b.running.ready())
	require.True(t, b.condition("slots").OK)
	bad("more", more)
	b.awaitCondition("slots", false)
	require.Regexp(t, `of the 2000 messages .* stream CAPI .*nats\.max_ack_pending`, b.condition("slots").Reason)
	require.Zero(t, b.streamSize("CAPI_DLQ"))
	b.change("CAPI_DLQ", func(c *jetstream.StreamConfig) { *c = letters })
	b.change("CAPI_PARKED", func(c *jetstream.StreamConfig) { *c = parking })
	b.awaitLetters(few + more)
	b.awaitQuiet()
	b.awaitCondition("slots", true)
	b.Script(dataset, graphtest.Fault{Error: graphtest.PermissionMissing()})
	b.publish(dataset, event("waits"))
	b.awaitCondition("exits", true)
	b.awaitQuiet()
	b.requireNoneTwice()
	b.requireBalance()
}

// With nats.manage, a worker makes a stream anew that somebody has deleted, and
// goes on: whichever it is.
func TestAMissingStreamIsMadeAnew(t *testing.T) {
	t.Parallel()
	for stream, provoke := range map[string]func(*harness){
		"CAPI":     func(*harness) {},
		"CAPI_DLQ": func(b *harness) { b.publish(dataset, poison("bad"), `{`) },
		"CAPI_PARKED": func(b *harness) {
			b.Script(dataset, graphtest.Fault{Error: graphtest.PermissionMissing()})
			b.publish(dataset, event("waits"))
		},
	} {
		t.Run(stream, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			b.publish(dataset, event("before"))
			b.awaitAccepted(1)
			b.awaitAcked()
			require.NoError(t, b.js.DeleteStream(t.Context(), stream))
			provoke(b)
			b.await("it is there again", func() bool {
				_, err := b.js.Stream(t.Context(), stream)
				return err == nil
			})
			want := 2
			if stream == "CAPI_PARKED" {
				want = 3
			}
			b.publish(dataset, event("after"))
			b.awaitAccepted(want)
			if stream == "CAPI_DLQ" {
				b.awaitLetters(2)
			}
			b.awaitQuiet()
			b.await("it is ready", b.running.ready)
			b.requireNoneTwice()
		})
	}
}

// awaitAcked waits until the server has the acknowledgements of all events.
func (b *harness) awaitAcked() {
	b.t.Helper()
	b.await("all is acknowledged", func() bool { return b.ackPending() == 0 && b.pending() == 0 })
}

// A worker stops or dies while letters are on their way: another stores each
// once, whatever it has become of the first's.
func TestLettersOnTheirWayOutliveAWorker(t *testing.T) {
	t.Parallel()
	b := setup(t, func(o *options) { o.cfg.Delivery.Park = retry.Backoff{Initial: time.Second, Max: 2 * time.Second} })
	before := b.change("CAPI_DLQ", takesNothingLarge)
	bad := poison("bad")
	b.publish(dataset, body(append(events(3), bad)...), body(strings.Split(strings.Repeat(`{"a":1} `, 12), " ")[:12]...), `{`)
	b.awaitAccepted(3)
	b.await("three letters wait", func() bool { return b.streamSize("CAPI_PARKED") == 3 && b.ackPending() == 0 })
	require.Zero(t, b.books("capi.condition", attribute.String("condition", "exits")), "an alert says so")
	b.stop(b.running)
	// Nobody is at it now: what is refused as too large is tried once more in short.
	b.change("CAPI_DLQ", func(c *jetstream.StreamConfig) { *c = before })
	b.running = b.start()
	letters := b.awaitLetters(3)
	sortByOrigin(letters)
	require.EqualValues(t, "refused", letters[0].Reason)
	require.Equal(t, bad, string(letters[0].Event))
	require.EqualValues(t, "invalid", letters[1].Reason)
	require.Len(t, letters[1].Places, 12, "those of one message stay together")
	require.EqualValues(t, "malformed", letters[2].Reason)
	for i, letter := range letters {
		require.EqualValues(t, i+1, letter.OriginSequence)
		require.Equal(t, dataset, letter.Dataset)
	}
	b.awaitQuiet()
	require.EqualValues(t, 14, b.settledAs("dead_lettered"))
	b.requireBalance()
	b.requireNoneTwice()
}

// A worker dies after it has stored a letter that was on its way: the letter
// comes again, and is stored once.
func TestALetterThatComesTwiceIsStoredOnce(t *testing.T) {
	t.Parallel()
	b := setup(t)
	before := b.change("CAPI_DLQ", takesNothingLarge)
	b.publish(dataset, poison("bad"))
	b.await("its letter waits", func() bool { return b.streamSize("CAPI_PARKED") == 1 && b.ackPending() == 0 })
	b.stop(b.running)
	stream, err := b.js.Stream(t.Context(), "CAPI_PARKED")
	require.NoError(t, err)
	waiting, err := stream.GetMsg(t.Context(), stream.CachedInfo().State.LastSeq)
	require.NoError(t, err)
	require.Contains(t, waiting.Subject, dataset)
	again := &nats.Msg{Subject: "capi.parked.due.dead." + dataset, Data: waiting.Data, Header: nats.Header{}}
	for name, values := range waiting.Header {
		if strings.HasPrefix(name, "Capi-") {
			again.Header[name] = values
		}
	}
	b.publishMsg(again)
	b.change("CAPI_DLQ", func(c *jetstream.StreamConfig) { *c = before })
	b.running = b.start()
	b.await("both have come", func() bool { return b.settledAs("dead_lettered") == 2 })
	require.Len(t, b.awaitLetters(1), 1)
	b.awaitQuiet()
	require.Equal(t, 1, b.Ledger().Sum().Requests)
	b.requireBalance()
}
