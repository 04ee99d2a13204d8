package dispatcher_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/natstest"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/retry"
	"github.com/capi-dispatcher/capi-dispatcher/graph/graphtest"
)

// parkForAnHour makes sure that nothing comes back by its own time.
func parkForAnHour(o *options) {
	o.cfg.Delivery.Park = retry.Backoff{Initial: time.Hour, Max: time.Hour}
}

// awaitParked waits until so many events lie in the parked stream and none are
// in flight.
func (b *harness) awaitParked(n int) {
	b.t.Helper()
	b.await(fmt.Sprintf("%d events are parked", n), func() bool {
		return b.streamSize("CAPI_PARKED") == uint64(n) && b.books("capi.messages.in_flight") == 0
	})
}

func (b *harness) requireNoneTwice() {
	b.t.Helper()
	_, again := b.Ledger().Distinct()
	require.Zero(b.t, again)
	require.Zero(b.t, b.books("capi.events.maybe_sent"))
}

func TestANewTokenBringsParkedEventsBack(t *testing.T) {
	t.Parallel()
	for name, workers := range map[string]int{"one worker": 1, "several workers": 3} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, parkForAnHour)
			for range workers - 1 {
				b.start()
			}
			b.AddDataset(dataset, "the-new-token")
			b.publish(dataset, events(2500)...)
			b.awaitParked(2500)
			refused := b.Ledger().Totals(dataset).Requests
			b.writeToken(dataset, "the-new-token", b.options.graph)
			b.awaitAccepted(2500)
			b.awaitQuiet()
			b.requireBalance()
			b.requireNoneTwice()
			require.LessOrEqual(t, refused, 2*workers, "a worker's senders, before the breaker opens")
			require.Empty(t, b.letters())
		})
	}
}

// The new token is as dead as the old one: one event finds out, the others wait.
func TestANewTokenIsTriedWithOneEvent(t *testing.T) {
	t.Parallel()
	b := setup(t, parkForAnHour)
	b.AddDataset(dataset, "the-right-token")
	b.publish(dataset, events(500)...)
	b.awaitParked(500)
	before := b.Ledger().Totals(dataset).Requests
	b.writeToken(dataset, "another-wrong-token", b.options.graph)
	b.await("it is tried", func() bool { return b.Ledger().Totals(dataset).Requests == before+1 })
	b.awaitParked(500)
	require.Equal(t, before+1, b.Ledger().Totals(dataset).Requests)
	require.LessOrEqual(t, b.books("capi.events.recalled"), int64(2), "one, and another only where the first is slow")
	b.writeToken(dataset, "the-right-token", b.options.graph)
	b.awaitAccepted(500)
	b.awaitQuiet()
	b.requireNoneTwice()
	require.Equal(t, before+1, b.Ledger().Totals(dataset).Requests-b.Ledger().Totals(dataset).Batches)
}

// An event was on its way to be parked when its dataset recovered: it is found
// when all others have been called back.
func TestALatecomerIsCalledBack(t *testing.T) {
	t.Parallel()
	b := setup(t, parkForAnHour)
	b.Always(dataset, graphtest.Fault{Status: 500})
	b.publish(dataset, event("late"), event("waiting"))
	b.awaitParked(2)
	parked, err := b.js.Stream(t.Context(), "CAPI_PARKED")
	require.NoError(t, err)
	late, err := parked.GetMsg(t.Context(), 1)
	require.NoError(t, err)
	require.NoError(t, parked.DeleteMsg(t.Context(), 1))
	b.stop(b.running)
	b.Clear(dataset)
	b.running = b.start()
	b.publish(dataset, event("new"))
	b.await("the others have been called back", func() bool { return b.books("capi.events.recalled") == 1 })
	for _, told := range []string{jetstream.MsgIDHeader, jetstream.StreamHeader, jetstream.SequenceHeader, jetstream.TimeStampHeaer, jetstream.SubjectHeader} {
		delete(late.Header, told) // by the server, about where it was
	}
	b.publishMsg(&nats.Msg{Subject: late.Subject, Header: late.Header, Data: late.Data})
	b.awaitAccepted(3)
	b.awaitQuiet()
	b.requireNoneTwice()
}

// A worker that has just begun knows of no troubles. The first success tells it.
func TestANewWorkerCallsBackWhatOthersParked(t *testing.T) {
	t.Parallel()
	b := setup(t, parkForAnHour)
	b.Always(dataset, graphtest.Fault{Status: 500})
	b.publish(dataset, events(300)...)
	b.awaitParked(300)
	b.stop(b.running)
	b.Clear(dataset)
	b.running = b.start()
	b.publish(dataset, event("new"))
	b.awaitAccepted(301)
	b.awaitQuiet()
	b.requireNoneTwice()
}

// NATS is away at the moment when events are called back. That is tried again.
func TestARecallIsTriedAgain(t *testing.T) {
	t.Parallel()
	b := setup(t, parkForAnHour, impatient)
	b.Always(dataset, graphtest.Fault{Status: 500})
	b.publish(dataset, events(3)...)
	b.awaitParked(3)
	b.stop(b.running)
	b.Clear(dataset)
	b.Script(dataset, graphtest.Fault{Accept: true, AnswerDelay: time.Second})
	b.running = b.start()
	b.publish(dataset, event("new"))
	b.awaitAccepted(1)
	b.options.nats.Stop()
	b.await("the success is known", func() bool { return b.settledAs("accepted") == 1 })
	b.options.nats.Restart()
	b.awaitAccepted(4)
	b.awaitQuiet()
	b.requireNoneTwice()
}

// Another worker's breaker is open for an hour. An event that was called back
// tells it that the dataset is well.
func TestNewsTravelWithTheEvents(t *testing.T) {
	t.Parallel()
	b := setup(t, parkForAnHour)
	b.Always(dataset, graphtest.Fault{Status: 500})
	b.publish(dataset, events(300)...)
	b.awaitParked(300)
	b.Clear(dataset)
	second := b.start() // which has not seen the trouble
	b.await("one of the new events comes to the second worker", func() bool {
		b.publish(dataset, event(fmt.Sprint("new", b.lastSequence("CAPI"))))
		return b.Ledger().Sum().Batches > 0
	})
	b.await("all are through", func() bool {
		distinct, _ := b.Ledger().Distinct()
		return distinct == int(b.lastSequence("CAPI"))
	})
	b.awaitQuiet()
	b.requireNoneTwice()
	b.stop(second)
}

// Events are called back at the moment when they come back by themselves.
func TestComingBackTwiceIsBeingSentOnce(t *testing.T) {
	t.Parallel()
	b := setup(t, func(o *options) {
		o.cfg.Delivery.Park = retry.Backoff{Initial: 4 * time.Second, Max: 4 * time.Second}
	})
	b.AddDataset(dataset, "the-new-token")
	b.publish(dataset, events(1000)...)
	b.await("all have been parked once", func() bool {
		return natstest.Done(t.Context(), b.js, "CAPI", "capi-dispatcher") && b.streamSize("CAPI_PARKED") >= 1000
	})
	b.writeToken(dataset, "the-new-token", b.options.graph)
	b.awaitAccepted(1000)
	b.awaitQuiet()
	b.requireNoneTwice()
	b.requireBalance()
}

// What waits for other reasons is not called back.
func TestOnlyWhatWaitedForTheDatasetIsCalledBack(t *testing.T) {
	t.Parallel()
	b := setup(t, parkForAnHour)
	b.LinkAssets(dataset, "102")
	b.publish(dataset, eventAt("ahead", time.Now().Add(5*time.Minute)), unlinked("elsewhere"))
	b.awaitParked(2)
	b.AddDataset(dataset, "the-new-token")
	b.publish(dataset, events(50)...)
	b.awaitParked(52)
	b.writeToken(dataset, "the-new-token", b.options.graph)
	b.awaitAccepted(50)
	b.awaitParked(2)
	require.LessOrEqual(t, b.books("capi.events.recalled"), int64(50))
	b.requireNoneTwice()
}

// The schedule that a recall replaces is gone, so nothing is called back that
// has come back meanwhile: this is what the server has to keep to.
func TestASchedulesReplacementIsOneStep(t *testing.T) {
	t.Parallel()
	b := setup(t)
	hour := time.Now().Add(time.Hour)
	put := func(at time.Time, options ...jetstream.PublishOpt) (*jetstream.PubAck, error) {
		msg := &nats.Msg{Subject: "capi.parked.wait." + other + ".1", Data: []byte(event("a")), Header: nats.Header{"Capi-Reason": {"paused"}}}
		return b.js.PublishMsg(t.Context(), msg, append(options, jetstream.WithScheduleAt(at), jetstream.WithScheduleTarget("capi.parked.due."+other))...)
	}
	first, err := put(hour)
	require.NoError(t, err)
	second, err := put(hour, jetstream.WithExpectLastSequencePerSubject(first.Sequence))
	require.NoError(t, err)
	require.EqualValues(t, 1, b.streamSize("CAPI_PARKED"), "the later schedule has replaced the earlier one")
	_, err = put(time.Now(), jetstream.WithExpectLastSequencePerSubject(first.Sequence))
	require.ErrorContains(t, err, "wrong last sequence")
	_, err = put(time.Now(), jetstream.WithExpectLastSequencePerSubject(second.Sequence))
	require.NoError(t, err)
	b.awaitAccepted(1)
	b.awaitQuiet()
	_, err = put(time.Now(), jetstream.WithExpectLastSequencePerSubject(second.Sequence+1))
	require.ErrorContains(t, err, "wrong last sequence: 0")
	b.requireNoneTwice()
}

// unlinked is an event of an account that no test links to the dataset.
func unlinked(id string) string { return strings.Replace(event(id), `"102"`, `"103"`, 1) }

// One event finds out that its account is not linked, and the account's others
// are set aside.
func TestAnUnlinkedAccountIsFoundOutOnce(t *testing.T) {
	t.Parallel()
	b := setup(t, parkForAnHour)
	b.LinkAssets(dataset, "102")
	messages := make([]string, 0, 600)
	for i := range 300 {
		messages = append(messages, unlinked(fmt.Sprint("u", i)), event(fmt.Sprint("e", i)))
	}
	b.publish(dataset, body(messages...))
	b.awaitAccepted(300)
	b.awaitParked(300)
	require.LessOrEqual(t, b.Ledger().Sum().Requests, 22, "2·log2(600)+1, as for one bad event, and one to spare")
	require.Empty(t, b.letters())
	b.requireNoneTwice()
}

// BenchmarkRecall calls 100,000 parked events back and sends them, the server
// and the simulated API in the same process.
func BenchmarkRecall(b *testing.B) {
	const n = 100_000
	for b.Loop() {
		b.StopTimer()
		bench := setup(b, parkForAnHour)
		hour := time.Now().Add(time.Hour)
		for i := range n {
			msg := &nats.Msg{
				Subject: fmt.Sprintf("capi.parked.wait.%s.%d", dataset, i), Data: []byte(event(fmt.Sprint("e", i))),
				Header: nats.Header{"Capi-Reason": {"paused"}, "Capi-Origin-Subject": {"capi.events." + dataset}},
			}
			_, err := bench.js.PublishMsgAsync(msg, jetstream.WithScheduleAt(hour), jetstream.WithScheduleTarget("capi.parked.due."+dataset))
			require.NoError(b, err)
			if i%1000 == 999 {
				<-bench.js.PublishAsyncComplete()
			}
		}
		b.StartTimer()
		bench.publish(dataset, event("first"))
		require.Eventually(b, func() bool { return bench.Ledger().Totals(dataset).Events == n+1 }, 5*time.Minute, 5*time.Millisecond)
		b.StopTimer()
		bench.stop(bench.running)
		b.StartTimer()
	}
}
