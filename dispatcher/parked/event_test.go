package parked_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/parked"
	"github.com/capi-dispatcher/capi-dispatcher/graph/event"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const subjects parked.Subjects = "capi.parked"

var stored = time.Unix(1_800_000_100, 0).UTC()

// full is an event in which everything is set that is written.
func full() parked.Event {
	return parked.Event{
		Data: []byte(`{"event_name": "Lead"}`), Envelope: `{"partner_agent":"acme"}`, Reason: parked.Failing,
		FirstSeen: time.Unix(1_800_000_000, 5).UTC(), Attempts: 3, MaybeSent: 1, Parked: 2, Early: 1,
		RefusedAlone:  time.Unix(1_800_000_050, 0).UTC(),
		OriginSubject: "capi.events.123", OriginSequence: 9, Claim: -7, DedupeID: "m/0",
		Trace: nats.Header{"traceparent": {"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"}, "tracestate": {"a=b"}, "baggage": {"c=d"}},
	}
}

// These bytes are between two versions of the program: each reads what the other
// has parked.
func TestWhatIsWrittenOnAParkedEvent(t *testing.T) {
	t.Parallel()
	e := full()
	msg := e.Message(subjects, "123", "a-b-0")
	require.Equal(t, "capi.parked.wait.123.a-b-0", msg.Subject)
	require.Equal(t, `{"event_name": "Lead"}`, string(msg.Data))
	require.Equal(t, nats.Header{
		"Capi-Reason": {"retry"}, "Capi-First-Seen": {"2027-01-15T08:00:00.000000005Z"}, "Capi-Attempts": {"3"}, "Capi-Maybe-Sent": {"1"},
		"Capi-Parked": {"2"}, "Capi-Early": {"1"}, "Capi-Refused-Alone": {"2027-01-15T08:00:50Z"},
		"Capi-Origin-Subject": {"capi.events.123"}, "Capi-Origin-Sequence": {"9"}, "Capi-Claim": {"-7"}, "Capi-Dedupe-Id": {"m/0"},
		"Capi-Envelope": {`{"partner_agent":"acme"}`},
		"traceparent":   {"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"}, "tracestate": {"a=b"}, "baggage": {"c=d"},
	}, msg.Header)

	least := parked.Event{Data: []byte(`{}`), Reason: parked.Paused, FirstSeen: time.Unix(1, 0), Parked: 1}
	require.Equal(t, nats.Header{
		"Capi-Reason": {"paused"}, "Capi-First-Seen": {"1970-01-01T00:00:01Z"}, "Capi-Attempts": {"0"}, "Capi-Parked": {"1"},
		"Capi-Origin-Subject": {""}, "Capi-Origin-Sequence": {"0"},
	}, least.Message(subjects, "auto", "a").Header)
	require.Equal(t, "capi.parked.due.123", subjects.Due("123"))
}

// anything is an event with any members.
func anything() parked.Event {
	sometimes := func() bool { return rand.N(2) == 0 }
	text := func() string { return strings.Repeat("ä,=\"x", rand.N(20)) }
	at := func() time.Time { return time.Unix(rand.N(int64(4_000_000_000)), rand.N(int64(1_000_000_000))).UTC() }
	e := parked.Event{
		Data: []byte(text()), Reason: parked.Reasons()[rand.N(len(parked.Reasons()))], FirstSeen: at(), Parked: rand.N(100),
		OriginSubject: text(), OriginSequence: rand.Uint64(),
	}
	for _, set := range []func(){
		func() { e.Envelope = text() },
		func() { e.Attempts, e.MaybeSent = rand.N(1000), rand.N(1000) },
		func() { e.Early = rand.N(5) },
		func() { e.RefusedAlone = at() },
		func() { e.Claim = int64(rand.Uint64()) },
		func() { e.DedupeID = text() },
		func() { e.Trace = nats.Header{"traceparent": {"x" + text()}} },
	} {
		if sometimes() {
			set()
		}
	}
	return e
}

func TestEventsSurviveTheWayThroughTheStream(t *testing.T) {
	t.Parallel()
	for _, e := range []parked.Event{full(), {Data: []byte(`{}`), FirstSeen: stored}} {
		msg := e.Message(subjects, "1", "a")
		require.Equal(t, e, parked.Parse(msg.Data, msg.Header, stored))
	}
	for range 2000 {
		e := anything()
		msg := e.Message(subjects, "1", "a")
		require.Equal(t, e, parked.Parse(msg.Data, msg.Header, stored))
	}
}

// What another version, or whoever replays, has written is read as far as it can be.
func TestWhatCannotBeReadCountsAsNotWritten(t *testing.T) {
	t.Parallel()
	none := parked.Event{FirstSeen: stored}
	require.Equal(t, none, parked.Parse(nil, nil, stored))
	for name, values := range map[string][]string{
		"Capi-Reason":          {"", "another", "RETRY", "accepted"},
		"Capi-First-Seen":      {"", "yesterday", "1800000000"},
		"Capi-Attempts":        {"", "many", "-1", "1.5", "99999999999999999999"},
		"Capi-Maybe-Sent":      {"-1"},
		"Capi-Parked":          {"-1"},
		"Capi-Early":           {"-1"},
		"Capi-Refused-Alone":   {"no"},
		"Capi-Recalled":        {"no"},
		"Capi-Origin-Sequence": {"-1", "x"},
		"Capi-Claim":           {"x", "1e3"},
		"Capi-Places":          {"x", "3-1", "0-99999"},
	} {
		for _, value := range values {
			require.Equal(t, none, parked.Parse(nil, nats.Header{name: {value}}, stored), "%s: %s", name, value)
		}
	}
}

func TestReplays(t *testing.T) {
	t.Parallel()
	require.True(t, parked.IsReplay(nil))
	e := full()
	headers := e.Message(subjects, "1", "a").Header
	require.False(t, parked.IsReplay(headers))
	headers.Set("Capi-Parked", "x")
	require.False(t, parked.IsReplay(headers), "whatever it says")
	headers.Del("Capi-Parked")
	headers.Set("Capi-Places", "0,3-5")
	require.True(t, parked.IsReplay(headers))
	headers.Set("Capi-Content-Ids", "ab,,cd,ef")
	replay := parked.Parse(nil, headers, stored)
	require.Equal(t, []int{0, 3, 4, 5}, replay.Places)
	require.Equal(t, []string{"ab", "", "cd", "ef"}, replay.ContentIDs)
}

func FuzzParse(f *testing.F) {
	e := full()
	written := e.Message(subjects, "123", "a").Header
	written.Set("Capi-Places", "0,3-7")
	written.Set("Capi-Recalled", "2027-01-15T08:00:00Z")
	for name, values := range written {
		f.Add(name, values[0], "Capi-Reason", "paused")
	}
	f.Add("Capi-First-Seen", "9999-12-31T23:59:59-23:00", "Capi-Places", "0-999,0-999,0-999")
	f.Fuzz(func(t *testing.T, name, value, other, another string) {
		headers := maps.Clone(written)
		headers[name], headers[other] = []string{value}, []string{another}
		e := parked.Parse([]byte(`{}`), headers, stored)
		for _, count := range []int{e.Attempts, e.MaybeSent, e.Parked, e.Early} {
			require.GreaterOrEqual(t, count, 0)
		}
		require.LessOrEqual(t, len(e.Places), event.MaxEvents)
		require.Contains(t, append(parked.Reasons(), ""), e.Reason)
		if fmt.Sprint(e.FirstSeen.UTC().Year(), e.RefusedAlone.UTC().Year()) == fmt.Sprint(2027, 2027) { // else it may be no RFC 3339
			again := e.Message(subjects, "123", "a")
			back := parked.Parse(again.Data, again.Header, stored)
			back.Places, back.ContentIDs, back.Recalled, back.Accepted = e.Places, e.ContentIDs, e.Recalled, e.Accepted // which are others' to write
			back.FirstSeen, back.RefusedAlone = e.FirstSeen, e.RefusedAlone
			require.Equal(t, e, back)
		}
		if e.Reason != "" {
			require.Equal(t, string(e.Reason), headers.Get("Capi-Reason"))
		}
	})
}
