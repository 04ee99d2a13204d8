package dispatcher_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/attribute"
)

// A worker's clock that is two minutes off, either way, parks no event of this
// moment, and brings no event back before its time, or late.
func TestAClockThatIsOff(t *testing.T) {
	t.Parallel()
	for name, off := range map[string]time.Duration{"two minutes behind": -2 * time.Minute, "two minutes ahead": 2 * time.Minute} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, func(o *options) { o.now = func() time.Time { return time.Now().Add(off) } })
			const many = 200
			b.publish(dataset, events(many)...)
			b.awaitAccepted(many)
			require.Zero(t, b.books("capi.events.settled", attribute.String("outcome", "parked")), "nothing was in the future")

			// This one is, on everybody's clock but the fast worker's.
			ahead := time.Now().Add(4 * time.Second)
			b.publish(dataset, eventAt("ahead", ahead))
			b.awaitAccepted(many + 1)
			require.GreaterOrEqual(t, b.acceptedAt("ahead").Unix(), ahead.Unix())
			require.LessOrEqual(t, b.books("capi.events.settled", attribute.String("outcome", "parked")), int64(2))
			b.awaitQuiet()
			b.requireNoneTwice()
		})
	}
}

func (b *harness) acceptedAt(id string) time.Time {
	b.t.Helper()
	for _, e := range b.Ledger().Entries() {
		if e.ID == id {
			return e.At
		}
	}
	b.t.Fatal("not accepted: " + id)
	return time.Time{}
}

// A fast clock does not keep parked events from being called back at once.
func TestRecallsDoNotDependOnTheClock(t *testing.T) {
	t.Parallel()
	b := setup(t, parkForAnHour, func(o *options) { o.now = func() time.Time { return time.Now().Add(2 * time.Minute) } })
	hour := time.Now().Add(time.Hour)
	const waiting = 50
	for i := range waiting {
		msg := nats.NewMsg(fmt.Sprintf("capi.parked.wait.%s.w%d", dataset, i))
		msg.Data = []byte(event(fmt.Sprint("waiting", i)))
		msg.Header.Set("Capi-Reason", "paused")
		_, err := b.js.PublishMsg(t.Context(), msg, jetstream.WithScheduleAt(hour), jetstream.WithScheduleTarget("capi.parked.due."+dataset))
		require.NoError(t, err)
	}
	began := time.Now()
	b.publish(dataset, event("the first success"))
	b.awaitAccepted(waiting + 1)
	require.Less(t, time.Since(began), time.Minute)
	b.awaitQuiet()
}
