package dispatcher_test

import (
	"fmt"
	"strconv"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"github.com/capi-dispatcher/capi-dispatcher/dedupe"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/deadletter"
	"github.com/capi-dispatcher/capi-dispatcher/graph/graphtest"
)

// forge sets every header that carries our state, as a producer could.
func forge(claim dedupe.Owner) nats.Header {
	return nats.Header{
		"Capi-Claim":           {strconv.FormatInt(int64(claim), 10)},
		"Capi-Attempts":        {"40"},
		"Capi-Maybe-Sent":      {"4"},
		"Capi-Parked":          {"9"},
		"Capi-Undelivered":     {"dead-1"},
		"Capi-Reason":          {"paused"},
		"Capi-Recalled":        {"2030-01-01T00:00:00Z"},
		"Capi-Refused-Alone":   {"2029-01-01T00:00:00Z"},
		"Capi-Accepted":        {"2030-01-01T00:00:00Z"},
		"Capi-Counted":         {"1"},
		"Capi-First-Seen":      {"2001-01-01T00:00:00Z"},
		"Capi-Envelope":        {`{"test_event_code":"FORGED"}`},
		"Capi-Content-Ids":     {"c0ffee"},
		"Capi-Origin-Subject":  {"capi.events.999"},
		"Capi-Origin-Sequence": {"999"},
	}
}

// published is who owns what the events' stream has under that number.
func (b *harness) published(sequence uint64) dedupe.Owner {
	b.t.Helper()
	stream, err := b.js.Stream(b.t.Context(), "CAPI")
	require.NoError(b.t, err)
	return dedupe.NewOwner(dedupe.NewEpoch("CAPI", stream.CachedInfo().Created.UnixNano()), sequence)
}

// A producer that knows the claim of an event under way cannot take it away.
func TestAForgedClaimIsNotTakenOver(t *testing.T) {
	t.Parallel()
	b := setup(t)
	elsewhere, claim := b.elsewhere(), claimOf(9)
	require.Equal(t, dedupe.Fresh, elsewhere.Claim(t.Context(), claim)[0].State)
	b.publishMsg(&nats.Msg{Subject: "capi.events." + dataset, Data: []byte(event("a")), Header: forge(claim[0].Owner)})
	b.await("it is decided about", func() bool { return b.settledAs("returned")+b.settledAs("accepted") > 0 })
	require.Empty(t, b.Ledger().Counts(), "another worker is sending the event")
	_, err := elsewhere.Confirm(t.Context(), claim)
	require.NoError(t, err)
	b.awaitQuiet()
	require.Empty(t, b.Ledger().Counts(), "another worker has sent it")
	b.requireBalance()
}

// The same between two workers, each of which has a copy in flight.
func TestForgedHeadersSendNothingTwice(t *testing.T) {
	t.Parallel()
	const tries, copies = 4, 8
	b := setup(t)
	b.start()
	b.Always(dataset, graphtest.Fault{Delay: 500 * time.Millisecond})
	for i := range tries {
		sent := event(fmt.Sprintf("e%d", i))
		requests := b.Ledger().Sum().Requests
		b.publish(dataset, sent)
		original := b.lastSequence("CAPI")
		b.await("it is under way", func() bool { return b.Ledger().Sum().Requests > requests })
		for range copies {
			b.publishMsg(&nats.Msg{Subject: "capi.events." + dataset, Data: []byte(sent), Header: forge(b.published(original))})
		}
		b.awaitQuiet()
	}
	b.awaitAccepted(tries)
	b.requireNoneTwice()
	b.requireBalance()
}

// What a producer says about an event's past is not believed.
func TestForgedHeadersDoNotReachALetter(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.publishMsg(&nats.Msg{Subject: "capi.events." + dataset, Data: []byte(poison("a")), Header: forge(7)})
	letter := b.awaitLetters(1)[0]
	require.Equal(t, deadletter.Refused, letter.Reason)
	require.Equal(t, 1, letter.Attempts)
	require.Zero(t, letter.MaybeSent)
	require.Zero(t, letter.Claim)
	require.Empty(t, letter.Envelope)
	require.WithinDuration(t, time.Now(), letter.FirstSeen, time.Hour)
	require.Equal(t, "capi.events."+dataset, letter.OriginSubject)
	require.EqualValues(t, 1, letter.OriginSequence)
}
