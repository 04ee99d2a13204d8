package dispatcher_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/retry"
	"github.com/capi-dispatcher/capi-dispatcher/graph/graphtest"
)

func shortPark(o *options) {
	o.cfg.Delivery.Park = retry.Backoff{Initial: time.Second, Max: 2 * time.Second}
}

// startAll lets so many workers run in all.
func (b *harness) startAll(workers int) {
	b.t.Helper()
	for range workers - 1 {
		b.start()
	}
}

// requireALetterFor asserts that these events, and no others, were dead-lettered
// once each.
func (b *harness) requireALetterFor(n int) {
	b.t.Helper()
	dead := make(map[string]bool)
	for _, letter := range b.awaitLetters(n) {
		id := string(eventID.FindSubmatch(letter.Event)[1])
		require.True(b.t, strings.HasPrefix(id, "odd-"), id)
		dead[id] = true
	}
	require.Len(b.t, dead, n)
}

// One producer's poison reaches all workers, and then everybody's events come: the
// poison ends in the dead letters, once each, and the others are accepted, once
// each, whichever worker meets which of them.
func TestPoisonInFrontOfSeveralWorkers(t *testing.T) {
	t.Parallel()
	const poisoned, good = 200, 1000
	for _, workers := range []int{2, 3} {
		t.Run(fmt.Sprint(workers, " workers"), func(t *testing.T) {
			t.Parallel()
			var meta fussy
			b := setup(t, shortPark, func(o *options) { o.graph.URL = meta.start(t, o.graph.URL) })
			b.startAll(workers)
			b.publish(dataset, odd(poisoned)...)
			b.await("the dataset is paused", func() bool { return b.streamSize("CAPI_DLQ")+b.streamSize("CAPI_PARKED") >= poisoned })
			require.LessOrEqual(t, b.streamSize("CAPI_DLQ"), uint64(8*workers))
			b.publish(dataset, events(good)...)
			b.awaitAccepted(good)
			// Good events keep coming: a few poisoned ones may have been left to a
			// worker that had none of the good ones.
			later := 0
			for ; b.streamSize("CAPI_DLQ") < poisoned; later++ {
				b.publish(dataset, event(fmt.Sprint("later", later)))
				b.awaitAccepted(good + later + 1)
			}
			t.Logf("%d refused alone, %d more good ones", len(meta.refusedAlone()), later)
			b.awaitQuiet()
			b.requireALetterFor(poisoned)
			require.Len(t, b.Ledger().Counts(), good+later)
			b.requireNoneTwice()
			b.requireBalance()
		})
	}
}

// A dead app costs a handful of letters for each worker, however often it is
// tried, and nothing that has waited is lost when it is well again.
func TestADeadAppOfSeveralWorkers(t *testing.T) {
	t.Parallel()
	const workers, all, perTrial, trials = 3, 300, 8, 3
	b := setup(t, shortPark)
	b.startAll(workers)
	b.Always(dataset, graphtest.Fault{Error: &graphtest.Error{Code: 424242, Message: "no"}})
	b.publish(dataset, events(all)...)
	b.await("all are parked or dead", func() bool { return b.streamSize("CAPI_DLQ")+b.streamSize("CAPI_PARKED") >= all })
	before := b.Ledger().Sum().Requests
	b.await("every worker has tried some", func() bool { return b.Ledger().Sum().Requests >= before+workers*trials*perTrial })
	b.Clear(dataset)
	b.awaitQuiet()
	letters := len(b.letters())
	require.LessOrEqual(t, letters, 8*workers)
	require.Len(t, b.Ledger().Counts(), all-letters, "whatever has waited")
	b.requireNoneTwice()
	b.requireBalance()
}

// refusedBefore publishes odd events that Meta has refused alone an hour ago, of
// which a worker that had others accepted since has said so.
func (b *harness) refusedBefore(subject string, n int) {
	b.t.Helper()
	for _, event := range odd(n) {
		b.publishMsg(&nats.Msg{Subject: subject + dataset, Data: []byte(event), Header: nats.Header{
			"Capi-Parked": {"1"}, "Capi-Reason": {"refused"},
			"Capi-Refused-Alone": {time.Now().Add(-time.Hour).UTC().Format(time.RFC3339Nano)},
			"Capi-Accepted":      {time.Now().Add(-time.Minute).UTC().Format(time.RFC3339Nano)},
		}})
	}
}

// A worker believes another one that Meta has accepted events since these were
// refused alone. It does not believe a producer.
func TestAnotherWorkersAcceptanceEndsTheDoubt(t *testing.T) {
	t.Parallel()
	for subject, letters := range map[string]int{"capi.parked.due.": 30, "capi.events.": 8} {
		t.Run(subject, func(t *testing.T) {
			t.Parallel()
			var meta fussy
			b := setup(t, parkForAnHour, func(o *options) { o.graph.URL = meta.start(t, o.graph.URL) })
			b.refusedBefore(subject, 30)
			b.awaitParked(30 - letters)
			b.requireALetterFor(letters)
		})
	}
}

// What is called back because Meta has accepted an event says so.
func TestWhatIsCalledBackTellsOfTheAcceptance(t *testing.T) {
	t.Parallel()
	b := setup(t, parkForAnHour)
	said, err := b.js.Conn().SubscribeSync("capi.parked.wait.>")
	require.NoError(t, err)
	b.Script(dataset, graphtest.Fault{Error: graphtest.TokenExpired()})
	b.publish(dataset, event("waits"))
	b.awaitParked(1)
	parked, err := said.NextMsg(time.Minute)
	require.NoError(t, err)
	require.Empty(t, parked.Header.Get("Capi-Accepted"), "nothing has been")
	b.stop(b.running)
	b.running = b.start() // which knows of no trouble
	began := time.Now().Add(-time.Second)
	b.publish(dataset, event("accepted"))
	b.awaitAccepted(2)
	recalled, err := said.NextMsg(time.Minute)
	require.NoError(t, err)
	at, err := time.Parse(time.RFC3339Nano, recalled.Header.Get("Capi-Accepted"))
	require.NoError(t, err)
	require.WithinRange(t, at, began, time.Now().Add(time.Second))
}
