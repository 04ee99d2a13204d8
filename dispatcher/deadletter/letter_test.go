package deadletter_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/deadletter"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/natstest"
	"github.com/capi-dispatcher/capi-dispatcher/graph/event"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// full is a letter in which everything is set.
func full() deadletter.Letter {
	return deadletter.Letter{
		Event: []byte(`{"event_name": "Lead"}`), Dataset: "123", Reason: deadletter.Refused,
		Faults:   []event.Fault{{Pointer: "/event_name", Code: event.UnknownValue, Message: "ä\nb"}},
		Graph:    &deadletter.GraphError{Code: 100, Subcode: 2804066, Message: "not allowed", TraceID: "A1"},
		Envelope: `{"partner_agent":"acme"}`, DedupeID: "m/0", ContentIDs: []string{"", "c0ffee"},
		Attempts: 3, MaybeSent: 1,
		FirstSeen: time.Unix(1_800_000_000, 5).UTC(), DeadLetteredAt: time.Unix(1_800_000_009, 0).UTC(),
		OriginSubject: "capi.events.123", OriginSequence: 9, CutOff: 99,
		Trace: nats.Header{"traceparent": {"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"}},
	}
}

func TestLettersSurviveTheWayThroughTheStream(t *testing.T) {
	t.Parallel()
	for name, letter := range map[string]deadletter.Letter{
		"full":    full(),
		"minimal": {Event: []byte(`{`), Reason: deadletter.Malformed, FirstSeen: time.Unix(1, 0).UTC(), DeadLetteredAt: time.Unix(2, 0).UTC()},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			msg := letter.Message("capi.dead", 1<<20)
			back, err := deadletter.Parse(0, msg.Data, msg.Header)
			require.NoError(t, err)
			require.Equal(t, letter, back)
		})
	}
	letter := full()
	require.Equal(t, "capi.dead.123.refused", letter.Subject("capi.dead"))
	require.Equal(t, "capi.dead.unknown.malformed", (&deadletter.Letter{Reason: deadletter.Malformed}).Subject("capi.dead"))
}

func TestHeadersStayOnOneLine(t *testing.T) {
	t.Parallel()
	letter := full()
	letter.Graph.Message = "one\r\nInjected: two\x00"
	msg := letter.Message("capi.dead", 1<<20)
	for name, values := range msg.Header {
		require.NotRegexp(t, "[\r\n\x00]", values[0], name)
	}
}

func TestParseRefuses(t *testing.T) {
	t.Parallel()
	for name, value := range map[string]string{
		"Capi-Attempts": "many", "Capi-First-Seen": "yesterday", "Capi-Detail": "{", "Capi-Origin-Sequence": "-1", "Capi-Graph-Code": "x",
	} {
		letter := full()
		msg := letter.Message("capi.dead", 1<<20)
		msg.Header.Set(name, value)
		_, err := deadletter.Parse(7, msg.Data, msg.Header)
		require.ErrorContains(t, err, "message 7: header "+name)
	}
	_, err := deadletter.Parse(7, nil, nats.Header{})
	require.ErrorContains(t, err, "Capi-Reason")
}

func TestLettersAsJSON(t *testing.T) {
	t.Parallel()
	text, err := json.Marshal(full())
	require.NoError(t, err)
	require.Contains(t, string(text), `"event":{"event_name":"Lead"}`)
	require.Contains(t, string(text), `"reason":"refused"`)
	text, err = json.Marshal(deadletter.Letter{Event: []byte(`{"a`), Reason: deadletter.Malformed})
	require.NoError(t, err)
	require.Contains(t, string(text), `"event":"{\"a"`)
}

func streams() deadletter.Streams {
	return deadletter.Streams{Letters: "CAPI_DLQ", LettersSubject: "capi.dead", Parked: "CAPI_PARKED", ParkedSubject: "capi.parked"}
}

// rig is a dead-letter stream and one for parked events.
func rig(t *testing.T, letters ...deadletter.Letter) (*deadletter.Box, jetstream.JetStream) {
	t.Helper()
	js := natstest.Start(t).JetStream()
	for name, subject := range map[string]string{"CAPI_PARKED": "capi.parked.>", "CAPI_DLQ": "capi.dead.>"} {
		_, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: name, Subjects: []string{subject}})
		require.NoError(t, err)
	}
	for _, letter := range letters {
		_, err := js.PublishMsg(t.Context(), letter.Message("capi.dead", 1<<20))
		require.NoError(t, err)
	}
	box, err := deadletter.Open(t.Context(), js, streams())
	require.NoError(t, err)
	return box, js
}

func TestEachChooses(t *testing.T) {
	t.Parallel()
	letter := func(dataset string, reason deadletter.Reason, code int) deadletter.Letter {
		l := deadletter.Letter{Event: []byte(`{}`), Dataset: dataset, Reason: reason}
		if code != 0 {
			l.Graph = &deadletter.GraphError{Code: code, Subcode: code + 1, Message: "m"}
		}
		return l
	}
	box, js := rig(t,
		letter("1", deadletter.Refused, 100),
		letter("1", deadletter.Expired, 0),
		letter("2", deadletter.Refused, 200),
		letter("", deadletter.Malformed, 0),
	)
	_, err := js.Publish(t.Context(), "capi.dead.1.refused", []byte("a stranger"))
	require.NoError(t, err)
	for name, tc := range map[string]struct {
		filter    deadletter.Filter
		want      []uint64
		strangers int
	}{
		"all":          {deadletter.Filter{}, []uint64{1, 2, 3, 4}, 1},
		"dataset":      {deadletter.Filter{Dataset: "1"}, []uint64{1, 2}, 1},
		"reason":       {deadletter.Filter{Reasons: []deadletter.Reason{deadletter.Refused}}, []uint64{1, 3}, 1},
		"reasons":      {deadletter.Filter{Reasons: []deadletter.Reason{deadletter.Expired, deadletter.Malformed}}, []uint64{2, 4}, 0},
		"both":         {deadletter.Filter{Dataset: "2", Reasons: []deadletter.Reason{deadletter.Refused}}, []uint64{3}, 0},
		"code":         {deadletter.Filter{Code: 200}, []uint64{3}, 1},
		"subcode":      {deadletter.Filter{Subcode: 101}, []uint64{1}, 1},
		"none of that": {deadletter.Filter{Dataset: "9"}, nil, 0},
		"later":        {deadletter.Filter{Since: time.Now().Add(time.Hour)}, nil, 0},
		"earlier":      {deadletter.Filter{Since: time.Now().Add(-time.Hour), Dataset: "2"}, []uint64{3}, 0},
		"at most two":  {deadletter.Filter{Most: 2}, []uint64{1, 2}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var got []uint64
			strangers, err := box.Each(t.Context(), tc.filter, func(l deadletter.Letter) error {
				got = append(got, l.Sequence)
				return nil
			})
			require.NoError(t, err)
			require.Equal(t, tc.want, got)
			require.Equal(t, tc.strangers, strangers)
		})
	}
}

func TestNoBox(t *testing.T) {
	t.Parallel()
	js := natstest.Start(t).JetStream()
	_, err := deadletter.Open(t.Context(), js, streams())
	require.ErrorContains(t, err, "there is no stream CAPI_DLQ")
}

func FuzzParse(f *testing.F) {
	letter := full()
	for name, values := range letter.Message("capi.dead", 1<<20).Header {
		f.Add(name, values[0], []byte(`{}`))
	}
	f.Fuzz(func(t *testing.T, name, value string, data []byte) {
		letter := full()
		msg := letter.Message("capi.dead", 1<<20)
		msg.Header.Set(name, value)
		parsed, err := deadletter.Parse(1, data, msg.Header)
		if err != nil {
			return
		}
		again := parsed.Message("capi.dead", 1<<20)
		back, err := deadletter.Parse(1, again.Data, again.Header)
		require.NoError(t, err)
		require.Equal(t, parsed.Reason, back.Reason)
		require.Equal(t, parsed.Attempts, back.Attempts)
	})
}
