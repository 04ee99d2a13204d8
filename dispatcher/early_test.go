package dispatcher_test

import (
	"strconv"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/deadletter"
	"github.com/capi-dispatcher/capi-dispatcher/graph/graphtest"
)

var inTheFuture = graphtest.Fault{Error: &graphtest.Error{Code: 100, Subcode: 2804004, Message: "Invalid parameter", UserTitle: "Event Timestamp In The Future"}}

// onlyParked is the one message in the parked stream.
func (b *harness) onlyParked() *jetstream.RawStreamMsg {
	b.t.Helper()
	b.await("the event is parked", func() bool { return b.settledAs("parked") == 1 })
	b.awaitParked(1)
	stream, err := b.js.Stream(b.t.Context(), "CAPI_PARKED")
	require.NoError(b.t, err)
	msg, err := stream.GetMsg(b.t.Context(), stream.CachedInfo().State.LastSeq)
	require.NoError(b.t, err)
	return msg
}

// comeBack is an event that has been parked for its time so many times before.
func (b *harness) comeBack(event string, early int) {
	b.t.Helper()
	msg := nats.NewMsg("capi.parked.due." + dataset)
	msg.Data = []byte(event)
	msg.Header.Set("Capi-Parked", strconv.Itoa(early))
	msg.Header.Set("Capi-Early", strconv.Itoa(early))
	msg.Header.Set("Capi-Reason", "not_yet")
	b.publishMsg(msg)
}

// An event of this moment that is in the future by Meta's clock waits a minute.
func TestMetasClockIsBehind(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.Script(dataset, inTheFuture)
	b.publish(dataset, event("now"))
	began := time.Now()
	msg := b.onlyParked()
	require.Equal(t, "not_yet", msg.Header.Get("Capi-Reason"))
	require.Equal(t, "1", msg.Header.Get("Capi-Early"))
	due, err := time.Parse(time.RFC3339, msg.Header.Get(jetstream.ScheduleHeader)[len("@at "):])
	require.NoError(t, err)
	require.WithinDuration(t, began.Add(time.Minute), due, 20*time.Second)
	require.Empty(t, b.letters())
}

// It waits three times at the most, and then it is a dead letter.
func TestMetasClockStaysBehind(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.Always(dataset, inTheFuture)
	b.comeBack(event("twice before"), 2)
	require.Equal(t, "3", b.onlyParked().Header.Get("Capi-Early"))
	b.comeBack(event("thrice before"), 3)
	require.Equal(t, deadletter.Refused, b.awaitLetters(1)[0].Reason)
}

// What is far from now is a mistake of its producer's.
func TestAnEventThatIsNotOfNowDoesNotWait(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.Always(dataset, inTheFuture)
	b.publish(dataset, eventAt("an hour ago", time.Now().Add(-time.Hour)))
	letter := b.awaitLetters(1)[0]
	require.Equal(t, 2804004, letter.Graph.Subcode)
}
