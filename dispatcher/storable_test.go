package dispatcher_test

import (
	"strings"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/deadletter"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/header"
)

// withFaults is an event with a fault for each of n contents.
func withFaults(n int) string {
	return strings.Replace(event("faulty"), `"user_data"`, `"custom_data":{"contents":[`+strings.TrimSuffix(strings.Repeat("0,", n), ",")+`]},"user_data"`, 1)
}

// purchase has many lines, each with a quantity that is no number.
func purchase(lines int) string {
	line := `{"id":"sku","quantity":"1 pc","item_price":9.9},`
	return strings.Replace(event("order"), `"user_data"`, `"custom_data":{"value":1,"currency":"EUR","contents":[`+
		strings.TrimSuffix(strings.Repeat(line, lines), ",")+`]},"user_data"`, 1)
}

// A dead letter's headers hold what fits, whatever an event has wrong.
func TestADeadLetterCanAlwaysBeStored(t *testing.T) {
	t.Parallel()
	for name, message := range map[string]string{
		"700 faults":            withFaults(700),
		"100,000 faults":        withFaults(100_000),
		"a purchase, 300 lines": purchase(300),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			b.publish(dataset, message, event("good"))
			letter := b.awaitLetters(1)[0]
			require.Equal(t, deadletter.Invalid, letter.Reason)
			require.Len(t, letter.Faults, 51)
			require.EqualValues(t, "more_faults", letter.Faults[50].Code)
			require.Equal(t, message, string(letter.Event), "whole")
			b.awaitAccepted(1)
			b.awaitQuiet()
			require.True(t, b.running.ready())
			b.requireBalance()
		})
	}
}

// A stream that takes less than the server does gets a letter all the same: the
// smallest there is.
func TestAMinimalLetterWhereTheStreamTakesNoOther(t *testing.T) {
	t.Parallel()
	b := setup(t)
	stream, err := b.js.Stream(t.Context(), "CAPI_DLQ")
	require.NoError(t, err)
	cfg := stream.CachedInfo().Config
	cfg.MaxMsgSize = 1024
	_, err = b.js.UpdateStream(t.Context(), cfg)
	require.NoError(t, err)
	message := withFaults(700)
	b.publish(dataset, message, event("good"))
	letter := b.awaitLetters(1)[0]
	require.Equal(t, deadletter.Invalid, letter.Reason)
	require.Equal(t, dataset, letter.Dataset)
	require.Equal(t, "capi.events."+dataset, letter.OriginSubject)
	require.EqualValues(t, 1, letter.OriginSequence)
	require.Equal(t, len(message), letter.CutOff, "how long it was")
	b.awaitAccepted(1)
	b.awaitQuiet()
	require.True(t, b.running.ready())
	b.requireBalance()
}

// Everything that producers can put into headers, at once, and an event that is
// refused, parked and dead-lettered.
func TestAllHeadersAtOnce(t *testing.T) {
	t.Parallel()
	b := setup(t)
	huge := strings.Repeat("h", 8<<10)
	b.publishMsg(&nats.Msg{Subject: "capi.events." + dataset, Data: []byte(poison("a")), Header: nats.Header{
		"traceparent": {huge}, "tracestate": {huge}, "baggage": {huge}, header.TestEventCode: {huge}, header.DedupeID: {huge}, jetstream.MsgIDHeader: {"id"},
	}})
	letter := b.awaitLetters(1)[0]
	require.Equal(t, deadletter.Refused, letter.Reason)
	b.awaitQuiet()
	b.requireBalance()
}
