package dispatcher_test

import (
	"strconv"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/attribute"

	"github.com/capi-dispatcher/capi-dispatcher/graph/graphtest"
)

func (b *harness) timely(result string) int64 {
	return b.books("capi.events.timely", attribute.String("result", result))
}

func (b *harness) lost(reason string) int64 { return b.books("capi.events.lost", because(reason)) }

func ago(d time.Duration) time.Time { return time.Now().Add(-d) }

// comesBackLate puts an event where parked ones come back, which was published an
// hour and a half ago, in time.
func (b *harness) comesBackLate(id string, counted bool) {
	b.t.Helper()
	msg := &nats.Msg{Subject: "capi.parked.due." + dataset, Data: []byte(eventAt(id, ago(95*time.Minute))), Header: nats.Header{
		"Capi-Parked": {"1"}, "Capi-First-Seen": {ago(90 * time.Minute).Format(time.RFC3339Nano)},
	}}
	if counted {
		msg.Header.Set("Capi-Counted", "1")
	}
	b.publishMsg(msg)
}

// Each event that Meta has is in time or late once; whose lateness is the
// producer's is told apart, and what is no event that Meta would take is neither.
func TestEventsAreInTimeOrLate(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.publish(dataset, event("now"), eventAt("half an hour ago", ago(30*time.Minute)), eventAt("hours ago", ago(3*time.Hour)),
		"{", poison("p"), eventAt("too old", ago(8*24*time.Hour)))
	b.comesBackLate("late", false)
	b.comesBackLate("counted before", true)
	b.awaitAccepted(5)
	b.awaitLetters(3)
	b.awaitQuiet()
	require.EqualValues(t, 2, b.timely("in_time"))
	require.EqualValues(t, 1, b.timely("late"))
	require.EqualValues(t, 1, b.timely("published_late"))
	require.EqualValues(t, 4, b.books("capi.events.timely"))
	require.Zero(t, b.books("capi.events.lost"), "none of these letters was in our hands in time")
}

// An event that goes on waiting when its hour is over is late from then on, and not
// only when Meta takes it: an outage shows while it lasts.
func TestAnEventThatWaitsIsLateOnce(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.Always(dataset, graphtest.Fault{Error: graphtest.PermissionMissing()})
	b.comesBackLate("a", false)
	b.publish(dataset, event("b"))
	b.await("both are parked, one again and again", func() bool { return b.settledAs("parked") >= 5 })
	require.EqualValues(t, 1, b.timely("late"))
	require.EqualValues(t, 1, b.books("capi.events.timely"))
	b.Clear(dataset)
	b.awaitAccepted(2)
	b.awaitQuiet()
	require.EqualValues(t, 1, b.timely("late"))
	require.EqualValues(t, 1, b.timely("in_time"))
}

// An event that becomes too old while it waits is lost, and late.
func TestAnEventThatExpiresHereIsLost(t *testing.T) {
	t.Parallel()
	b := setup(t)
	const week = 7 * 24 * time.Hour
	b.publishMsg(&nats.Msg{
		Subject: "capi.parked.due." + dataset, Data: []byte(eventAt("a", ago(week+time.Minute))), Header: nats.Header{
			"Capi-Parked": {"1"}, "Capi-First-Seen": {ago(week).Format(time.RFC3339Nano)},
		},
	})
	b.awaitLetters(1)
	b.awaitQuiet()
	require.EqualValues(t, 1, b.lost("expired"))
	require.EqualValues(t, 1, b.timely("late"))
}

// Why events are parked, how old they are, and when each thing happened last.
func TestWhatWaitsHasAReasonAndAnAge(t *testing.T) {
	t.Parallel()
	b := setup(t, parkForAnHour)
	b.Always(dataset, graphtest.Fault{Error: graphtest.PermissionMissing()})
	began := time.Now().Unix()
	b.publish(dataset, eventAt("a", ago(2*24*time.Hour)), event("b"))
	b.publish(other, event("c"))
	b.awaitParked(2)
	b.await("one is accepted, and counted", func() bool { return b.settledAs("accepted") == 1 })
	require.EqualValues(t, 2, b.books("capi.events.settled", of(dataset), attribute.String("outcome", "parked"), because("paused")))
	for _, end := range []struct{ dataset, outcome string }{{dataset, "parked"}, {other, "accepted"}} {
		last := b.books("capi.events.last_settled", of(end.dataset), attribute.String("outcome", end.outcome))
		require.InDelta(t, began, last, 60, end)
	}
	kind := []attribute.KeyValue{because("paused"), attribute.Bool("known", true)}
	require.InDelta(t, (5 * 24 * time.Hour).Seconds(), b.gauge("capi.parked.time_to_expiry", kind...), 60)
	require.InDelta(t, 5, b.gauge("capi.parked.oldest", kind...), 60, "since it was published")
	require.EqualValues(t, 1, b.books("capi.dataset.paused", of(dataset), because("paused"), attribute.Bool("known", true)))
}

// A refused batch is cut in two until the culprit is alone.
func TestBisectionsAreCounted(t *testing.T) {
	t.Parallel()
	b := setup(t, func(o *options) { o.batch.Linger = time.Second })
	var all []string
	for i := range 7 {
		all = append(all, event(strconv.Itoa(i)))
	}
	b.publish(dataset, body(append(all, poison("p"))...))
	b.awaitAccepted(7)
	b.awaitLetters(1)
	require.EqualValues(t, 3, b.books("capi.requests.bisected", of(dataset)), "8, 4 and 2 events")
}

// What becomes of questions for the dataset of an account.
func TestLookupsAreCounted(t *testing.T) {
	t.Parallel()
	b := setup(t, asking(t))
	b.addPage("11", dataset)
	b.addPage("12", "")
	b.addPage("13", dataset)
	b.addPage("14", dataset)
	b.Always("13", graphtest.Fault{Error: graphtest.PermissionMissing()})
	b.Always("14", graphtest.Fault{Status: 503})
	for _, page := range []string{"11", "12", "13", "14"} {
		b.publish("auto", ofPage(page, page))
	}
	for _, result := range []string{"found", "none", "refused", "failed"} {
		b.await(result, func() bool { return b.books("capi.lookups", attribute.String("result", result)) >= 1 })
	}
}
