package dispatcher_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/attribute"

	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/deadletter"
	"github.com/capi-dispatcher/capi-dispatcher/graph/graphtest"
)

var (
	// leaked has the form of an access token.
	leaked = "EAA" + strings.Repeat("Bx7", 60)
	// oddToken is a token in use that has not.
	oddToken = "1234567890|an-app-token-of-ours"
)

// holding adds a member to an event.
func holding(event, member string) string {
	return strings.Replace(event, `{"event_name"`, `{`+member+`,"event_name"`, 1)
}

// stored is everything in a stream: data, headers and subjects.
func (b *harness) stored(stream string) string {
	b.t.Helper()
	var all strings.Builder
	s, err := b.js.Stream(b.t.Context(), stream)
	require.NoError(b.t, err)
	info, err := s.Info(b.t.Context())
	require.NoError(b.t, err)
	for sequence := info.State.FirstSeq; sequence > 0 && sequence <= info.State.LastSeq; sequence++ {
		msg, err := s.GetMsg(b.t.Context(), sequence)
		if err == nil {
			fmt.Fprintf(&all, "%s %v %s\n", msg.Subject, msg.Header, msg.Data)
		}
	}
	return all.String()
}

// A token that a producer has published is found in no dead letter, whatever is
// wrong with the message.
func TestNoTokenInADeadLetter(t *testing.T) {
	t.Parallel()
	b := setup(t)
	messages := map[string]string{
		"beside broken events":    `{"access_token":"` + leaked + `","data":[{]}`,
		"in a list":               `[{"access_token":"` + leaked + `"},"` + leaked + `"]`,
		"in the event":            `{"event_name":"x","access_token":"` + leaked + `"}`,
		"deep in the event":       `{"event_name":"x","custom_data":{"a":[{"note":"https://a/?t=` + leaked + `"}]}}`,
		"beside too many events":  `{"access_token":"` + leaked + `","data":[{}` + strings.Repeat(",{}", 1000) + `]}`,
		"in an envelope's member": `{"upload_tag":"` + leaked + `","method":"` + leaked + `","data":[{"event_name":"x"}]}`,
		"cut off":                 `{"data":[{"x":"` + leaked,
		"a form":                  `access_token=` + leaked + `&data=%5B%7B%7D%5D`,
		"escaped":                 `{"x":"\u0045\u0041A` + leaked[3:] + `"`,
		"as a name":               `{"` + leaked + `":tru}`,
		"refused by Meta":         holding(poison("refused"), `"x":"`+leaked+`"`),
	}
	for _, message := range messages {
		b.publish(dataset, message)
	}
	b.publishMsg(&nats.Msg{Subject: "capi.events." + dataset, Data: []byte(`{"event_name":"headers"}`), Header: nats.Header{
		"baggage": {"access_token=abc,t=" + leaked}, "tracestate": {"v=" + leaked}, "Capi-Test-Event-Code": {leaked}, "Capi-Dedupe-Id": {leaked},
	}})
	b.publish(leaked, `{"event_name":"the subject"}`)
	b.awaitLetters(len(messages) + 2)
	b.awaitQuiet()
	require.NotContains(t, b.stored("CAPI_DLQ"), leaked)
	require.Contains(t, b.stored("CAPI_DLQ"), `{"access_token":"[redacted]","data":[{]}`)
	const both = 2 // messages hold two
	require.EqualValues(t, len(messages)+both, b.books("capi.secrets.removed", attribute.String("dataset", dataset)))
	for _, span := range b.spans.GetSpans() {
		require.NotContains(t, fmt.Sprint(span.Attributes, span.SpanContext, span.Parent, span.Status), leaked)
	}
	b.requireBalance()
}

// Nor does it wait with the event, nor is it sent to Meta.
func TestATokenIsNeitherParkedNorSent(t *testing.T) {
	t.Parallel()
	b := setup(t, func(o *options) {
		require.NoError(t, os.WriteFile(filepath.Join(o.graph.TokenDir, other), []byte(oddToken), 0o600))
	})
	b.AddDataset(other, oddToken)
	b.Script(other, graphtest.Fault{Error: graphtest.PermissionMissing()})
	b.publish(other, `{"upload_tag":"`+leaked+`","method":"delete","batch":"[]","data":[`+
		holding(event("a"), `"access_token":"short","x":["`+leaked+`","`+oddToken+`"]`)+`]}`)
	b.await("it is parked", func() bool { return b.settledAs("parked") > 0 })
	waiting := b.stored("CAPI_PARKED")
	b.awaitAccepted(1)
	b.awaitQuiet()
	sent := string(b.Ledger().Entries()[0].Raw)
	require.Contains(t, sent, `{"x":["[redacted]","[redacted]"],"event_name"`)
	for _, secret := range []string{leaked, oddToken, "short", "delete"} {
		require.NotContains(t, waiting+sent, secret)
	}
	require.EqualValues(t, 4, b.books("capi.secrets.removed", attribute.String("dataset", other)))
	require.EqualValues(t, 2, b.books("capi.members.removed", attribute.String("member", "/undocumented")))
}

// An identity that looks like a token is one all the same.
func TestAnIdentityThatLooksLikeATokenIsKept(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.publish(dataset, event(leaked), event(leaked))
	unnamed := strings.Replace(event("x"), `"event_id":"x",`, "", 1)
	for range 2 {
		b.publishMsg(&nats.Msg{Subject: "capi.events." + dataset, Data: []byte(unnamed), Header: nats.Header{"Capi-Dedupe-Id": {leaked}}})
	}
	b.awaitAccepted(2)
	b.awaitQuiet()
	require.EqualValues(t, 2, b.settledAs("duplicate"))
	require.Equal(t, 1, b.Ledger().Counts()[graphtest.Event{Dataset: dataset, Name: "LeadSubmitted", ID: leaked}])
}

// A test_event_code in an event makes it a test, and the event alone.
func TestATestCodeInAnEventMakesItATest(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.Script(dataset, graphtest.Fault{Error: graphtest.PermissionMissing()}) // parking keeps it
	b.publish(dataset,
		holding(event("alone"), `"test_event_code":"T1"`),
		`{"data":[`+event("real")+`,`+holding(event("own"), `"test_event_code":"T2"`)+`,`+holding(event("other"), `"test_event_code":"T3"`)+`]}`,
		`{"data":[`+event("beside")+`,`+holding(event("nearer"), `"test_event_code":"T5"`)+`],"test_event_code":"T4"}`,
		`{"data":[`+holding(poison("refused"), `"test_event_code":"T6"`)+`]}`,
		holding(event("none"), `"test_event_code":["T7"]`),
	)
	b.awaitAccepted(6)
	letters := b.awaitLetters(2)
	b.awaitQuiet()
	codes := make(map[string]string)
	for _, entry := range b.Ledger().Entries() {
		codes[entry.ID] = entry.TestEventCode
		require.NotContains(t, string(entry.Raw), "test_event_code")
	}
	require.Equal(t, map[string]string{"alone": "T1", "real": "", "own": "T2", "other": "T3", "beside": "T4", "nearer": "T5"}, codes)
	sortByOrigin(letters)
	require.Equal(t, `{"test_event_code":"T6"}`, letters[0].Envelope, "a replay is a test again")
	require.Equal(t, deadletter.Invalid, letters[1].Reason)
	require.Contains(t, string(letters[1].Event), `"test_event_code":["T7"]`, "a replay is as faulty")
}
