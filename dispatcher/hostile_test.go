package dispatcher_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/deadletter"
	"github.com/capi-dispatcher/capi-dispatcher/graph/graphtest"
)

// padded is an event of so many bytes in all.
func padded(id string, size int) string {
	with := func(n int) string {
		return strings.Replace(event(id), `"event_name"`, `"x":"`+strings.Repeat("x", n)+`","event_name"`, 1)
	}
	return with(size - len(with(0)))
}

// What no producer should publish. Each becomes a dead letter of its own, and
// the good events around it flow.
func TestUglyMessages(t *testing.T) {
	t.Parallel()
	b := setup(t)
	const most = 1 << 20 // NATS takes no more
	for name, tc := range map[string]struct {
		message string
		reason  deadletter.Reason
	}{
		"a megabyte of an event":   {padded("big", most), deadletter.TooLarge},
		"a megabyte of spaces":     {strings.Repeat(" ", most), deadletter.Malformed},
		"a megabyte of zero bytes": {strings.Repeat("\x00", most), deadletter.Malformed},
		"a megabyte of brackets":   {strings.Repeat("[", most), deadletter.Invalid},
		"deeply nested objects":    {strings.Repeat(`{"a":`, 100_000) + "1" + strings.Repeat("}", 100_000), deadletter.Malformed},
		"deep inside an event":     {strings.Replace(event("deep"), `"clid"`, strings.Repeat("[", 50_000)+strings.Repeat("]", 50_000), 1), deadletter.Malformed},
		"invalid UTF-8":            {strings.Replace(event("utf8"), "clid", "cl\xff\xfeid", 1), deadletter.Malformed},
		"a lone surrogate":         {strings.Replace(event("lone"), "clid", `cl\ud800id`, 1), deadletter.Malformed},
		"a member twice":           {strings.Replace(event("twice"), `{"event_name"`, `{"event_name":"Purchase","event_name"`, 1), deadletter.Malformed},
		"a member twice, escaped":  {strings.Replace(event("twice"), `{"event_name"`, `{"\u0065vent_name":"Purchase","event_name"`, 1), deadletter.Malformed},
		"a long number":            {strings.Replace(event("long"), `"event_time":`, `"event_time":`+strings.Repeat("9", 100_000), 1), deadletter.Invalid},
		"nothing":                  {"", deadletter.Malformed},
	} {
		letters, good := int(b.streamSize("CAPI_DLQ")), fmt.Sprint("good, after ", name)
		b.publish(dataset, tc.message, event(good))
		all := b.awaitLetters(letters + 1)
		require.Equal(t, tc.reason, all[letters].Reason, name)
		require.True(t, strings.HasPrefix(tc.message, string(all[letters].Event)), name)
		require.LessOrEqual(t, len(tc.message)-len(all[letters].Event), 2048, "only what does not fit is cut off")
		b.await(good, func() bool {
			return b.Ledger().Counts()[graphtest.Event{Dataset: dataset, Name: "LeadSubmitted", ID: good}] == 1
		})
	}
	b.awaitQuiet()
	b.requireBalance()
}

// Headers as large as JetStream takes them (64 KB in all), among them those that
// we read ourselves and pass on: the event is parked all the same, and sent.
func TestHugeHeaders(t *testing.T) {
	t.Parallel()
	huge := strings.Repeat("h", 64<<10-100)
	for _, name := range []string{"X-Anything", "traceparent", "tracestate", "baggage", "Capi-Test-Event-Code", "Capi-Dedupe-Id", "Capi-Dataset-Id", "Capi-Parked"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			b.Script(dataset, graphtest.Fault{Error: graphtest.PermissionMissing()})
			b.publishMsg(&nats.Msg{Subject: "capi.events." + dataset, Data: []byte(event("a")), Header: nats.Header{name: {huge}}})
			b.awaitAccepted(1)
			require.Positive(t, b.settledAs("parked"))
			b.awaitQuiet()
			b.requireOnce("a")
		})
	}
}

// What a request body says beside its events may be long, too.
func TestAHugeEnvelope(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.Script(dataset, graphtest.Fault{Error: graphtest.PermissionMissing()})
	long := `],"upload_tag":"` + strings.Repeat("u", 200_000) + `","partner_agent":"acme"}`
	bad := poison("b")
	b.publish(dataset, `{"data":[`+event("a")+`,`+bad+long)
	b.awaitAccepted(1)
	require.GreaterOrEqual(t, b.settledAs("parked"), int64(2))
	letter := b.awaitLetters(1)[0]
	require.Equal(t, deadletter.Refused, letter.Reason)
	require.True(t, strings.HasPrefix(string(letter.Event), `{"data":[`+bad+`],`))
	require.True(t, strings.HasSuffix(string(letter.Event), `uuu","partner_agent":"acme"}`) ||
		strings.HasSuffix(string(letter.Event), `uuu"}`), "what was said beside it")
	require.Equal(t, "acme", b.Ledger().Entries()[0].PartnerAgent)
	b.awaitQuiet()
	b.requireBalance()
}

// A producer publishes garbage as fast as it can. A good event in between takes
// no longer than the garbage before it, and what is in flight stays within bounds.
func TestGarbageAtFullSpeed(t *testing.T) {
	t.Parallel()
	const garbage, good, mostInFlight = 10_000, 50, 200
	b := setup(t, func(o *options) { o.cfg.Delivery.MaxInFlight = mostInFlight })
	random := rand.New(rand.NewPCG(5, 6))
	for i := range garbage {
		text := make([]byte, random.IntN(300))
		for j := range text {
			text[j] = byte(random.IntN(256))
		}
		_, err := b.js.PublishMsgAsync(&nats.Msg{Subject: "capi.events." + dataset, Data: text})
		require.NoError(t, err)
		if i%(garbage/good) == 0 {
			_, err := b.js.PublishMsgAsync(&nats.Msg{Subject: "capi.events." + other, Data: []byte(event(fmt.Sprint("good", i)))})
			require.NoError(t, err)
		}
		if i%1000 == 0 {
			require.LessOrEqual(t, b.books("capi.messages.in_flight"), int64(mostInFlight))
			<-b.js.PublishAsyncComplete()
		}
	}
	b.awaitAccepted(good)
	b.await("all garbage is dead-lettered", func() bool { return b.streamSize("CAPI_DLQ") == garbage })
	b.awaitQuiet()
	b.requireBalance()
	b.requireNoneTwice()
}

// Events for thousands of datasets that nobody has: each is tried and waits, and
// a dataset that exists is served all the while.
func TestThousandsOfDatasetsAtOnce(t *testing.T) {
	t.Parallel()
	datasets := 10_000
	if testing.Short() {
		datasets = 1000
	}
	b := setup(t, parkForAnHour, func(o *options) { o.cfg.Delivery.MaxWait = time.Hour })
	for i := range datasets {
		_, err := b.js.PublishMsgAsync(&nats.Msg{Subject: fmt.Sprint("capi.events.", 90_000+i), Data: []byte(event("a"))})
		require.NoError(t, err)
		if i%500 == 499 {
			<-b.js.PublishAsyncComplete()
			b.publish(dataset, event(fmt.Sprint("good", i)))
		}
	}
	const aWhile = 10 * time.Minute // ten thousand requests, on a busy machine
	require.Eventually(t, func() bool { return b.Ledger().Totals(dataset).Events == datasets/500 }, aWhile, 20*time.Millisecond)
	require.Eventually(t, func() bool { return b.streamSize("CAPI_PARKED") == uint64(datasets) }, aWhile, 20*time.Millisecond)
	require.LessOrEqual(t, b.books("capi.datasets.troubled"), int64(datasets), "what is remembered is bounded")
	require.LessOrEqual(t, b.Ledger().Sum().Requests, datasets+datasets/500, "each was tried once")
	b.publish(other, event("after all"))
	b.await("it goes on", func() bool { return b.Ledger().Totals(other).Events == 1 })
	b.requireBalance()
}
