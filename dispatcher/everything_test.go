package dispatcher_test

import (
	"strings"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/natstest"
)

// FuzzWhateverIsPublished: every byte string that can be published ends as a
// dead letter that is stored, or as an event that Meta has accepted.
func FuzzWhateverIsPublished(f *testing.F) {
	for _, seed := range []string{
		``, `{}`, `[]`, `null`, `{"data":[]}`, `{"data":[{}]}`, "\xff\x00", `{"event_time":1e400}`,
		event("a"), body(event("b"), `{}`, event("c")), withFaults(700), purchase(300), poison("d"),
		body(strings.Split(strings.Repeat("{} ", 1000), " ")[:1000]...),
		strings.TrimSuffix(body(event("e")), "}") + `,"partner_agent":"` + strings.Repeat("p", 9000) + `"}`,
		strings.Replace(event("f"), "LeadSubmitted", strings.Repeat("\x1b[31m", 1000), 1),
	} {
		f.Add(dataset, []byte(seed), "h")
		f.Add("auto", []byte(seed), strings.Repeat("h", 20_000))
	}
	b := setup(f, func(o *options) { o.log = zap.NewNop() }) // what is logged belongs to no single input
	f.Fuzz(func(t *testing.T, word string, message []byte, header string) {
		if word != dataset { // of another, no token would be known
			word = "auto"
		}
		msg := &nats.Msg{Subject: "capi.events." + word, Data: message, Header: nats.Header{}}
		for _, name := range []string{"traceparent", "baggage", "Capi-Test-Event-Code", "Capi-Dedupe-Id"} {
			msg.Header.Set(name, header)
		}
		if _, err := b.js.PublishMsg(t.Context(), msg); err != nil {
			t.Skip("nobody can publish that")
		}
		in := *b
		in.t = t
		in.await("it comes to an end", func() bool {
			return natstest.Done(t.Context(), b.js, "CAPI", "capi-dispatcher") && in.books("capi.events.in_flight") == 0
		})
		require.Equal(t, in.books("capi.events.received"), in.books("capi.events.settled"))
		require.Zero(t, in.settledAs("returned"))
		require.Zero(t, in.settledAs("dropped"))
		require.True(t, b.running.ready())
	})
}
