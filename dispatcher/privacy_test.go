package dispatcher_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/attribute"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/admission"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/deadletter"
	"github.com/capi-dispatcher/capi-dispatcher/graph/event/customer"
	"github.com/capi-dispatcher/capi-dispatcher/graph/graphtest"
)

// withUser adds to an event's user_data.
func withUser(event, members string) string {
	return strings.Replace(event, `"user_data":{`, `"user_data":{`+members+`,`, 1)
}

// With hashing on, personal data in the clear reaches Meta hashed, and nothing
// else at all, however faulty its event is.
func TestPersonalDataNeverReachesADeadLetter(t *testing.T) {
	t.Parallel()
	b := setup(t, func(o *options) { o.cfg.Rules.HashPersonalData = true })
	const em = `"em":"Jane@Example.com"`
	b.publish(dataset,
		withUser(event("good"), em),
		withUser(poison("refused"), em),
		`{"event_name":"invalid","user_data":{`+em+`,"ph":"call jane@example.com"}}`,
		`{"event_name":"user data is a text","user_data":"Jane@Example.com"}`,
		`{"event_name":"malformed","user_data":{`+em+`}`,
		`["`+em+`"]`,
		body(`"Jane@Example.com"`),
		body(withUser(eventAt("old", time.Now().Add(-8*24*time.Hour)), em)),
	)
	b.publish("auto", withUser(event("no dataset"), em))
	letters := b.awaitLetters(8)
	b.awaitQuiet()
	require.Len(t, letters, 8)
	for _, letter := range letters {
		require.NotRegexp(t, "(?i)jane|example", string(letter.Event)+letter.Envelope+letter.Subject(""), letter.Reason)
		for _, fault := range letter.Faults {
			require.NotRegexp(t, "(?i)jane|example", fault.Message)
		}
		if letter.Reason == deadletter.Malformed {
			require.Equal(t, `{"event_name":"xxxxxxxxx","user_data":{"em":"xxxx@xxxxxxx.xxx"}`, string(letter.Event))
		}
	}
	require.Len(t, b.Ledger().Entries(), 1)
	require.Contains(t, string(b.Ledger().Entries()[0].Raw), `"em":"`+customer.Hash("jane@example.com")+`"`)
	for _, span := range b.spans.GetSpans() {
		for _, kv := range span.Attributes {
			require.NotRegexp(t, "(?i)jane|example", kv.Value.String())
		}
	}
}

// A parked event comes back as it was hashed.
func TestAHashedEventIsParkedAndComesBack(t *testing.T) {
	t.Parallel()
	b := setup(t, func(o *options) { o.cfg.Rules.HashPersonalData = true })
	b.Script(dataset, graphtest.Fault{Error: graphtest.TokenExpired()})
	hashed := customer.Hash("jane")
	b.publish(dataset, withUser(event("a"), `"fn":"Jane"`))
	b.awaitAccepted(1)
	b.awaitQuiet()
	require.Contains(t, string(b.Ledger().Entries()[0].Raw), `"fn":"`+hashed+`"`)
}

func TestMembersThatMetaRefusesAreRemovedAndCounted(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.publish(dataset, withUser(event("a"), `"client_ip_address":"192.0.2.1","fbp":"fb.1.1.1"`), event("b"))
	b.awaitAccepted(2)
	b.awaitQuiet()
	for _, member := range []string{"/user_data/client_ip_address", "/user_data/fbp"} {
		require.EqualValues(t, 1, b.books("capi.members.removed", attribute.String("member", member)), member)
	}
	require.Empty(t, b.letters())
}

func TestRestrictedRegions(t *testing.T) {
	t.Parallel()
	b := setup(t, func(o *options) {
		o.cfg.RestrictedCountries = []string{"DE", "JP"}
		o.cfg.Assets = admission.Assets{
			Pages:     map[string]admission.Asset{"11": {Country: "DE"}, "12": {Country: "US"}, "102": {Country: "DE"}},
			Instagram: map[string]admission.Asset{"17": {Country: "JP", Dataset: dataset}},
		}
	})
	chat := func(id, channel, user string) string {
		return strings.Replace(strings.Replace(event(id), "whatsapp", channel, 1), `"whatsapp_business_account_id":"102","ctwa_clid":"clid"`, user, 1)
	}
	b.publish(dataset,
		chat("a German page", "messenger", `"page_id":11,"page_scoped_user_id":1`),
		chat("an American page", "messenger", `"page_id":12,"page_scoped_user_id":1`),
		chat("a page that nobody knows", "messenger", `"page_id":13,"page_scoped_user_id":1`),
		chat("a Japanese account", "instagram", `"instagram_business_account_id":17,"ig_sid":1`),
		chat("a German page's WhatsApp", "whatsapp", `"page_id":11,"ctwa_clid":"clid"`))
	b.awaitLetters(2)
	b.awaitQuiet()
	b.requireOnce("an American page", "a page that nobody knows", "a German page's WhatsApp")

	// What nobody has configured, Meta tells.
	b.Always(dataset, graphtest.Fault{Error: graphtest.RestrictedRegion()})
	b.publish(dataset, event("Meta knows better"))
	letters := b.awaitLetters(3)
	sortByOrigin(letters)
	b.awaitQuiet()
	for i, letter := range letters {
		require.Equal(t, deadletter.RestrictedRegion, letter.Reason)
		require.Equal(t, i < 2, letter.Graph == nil, "the first two were not sent")
	}
	require.Equal(t, "the account is registered in DE, where Meta takes no messaging events (ePrivacy)", letters[0].Faults[0].Message)
}

// Meta's words may quote an event. They are found in the dead letter alone, and
// masked there where personal data is hashed.
func TestMetasWordsStayInTheDeadLetter(t *testing.T) {
	t.Parallel()
	const person = "jane@example.com"
	quoting := func(code, subcode int) graphtest.Fault {
		return graphtest.Fault{Error: &graphtest.Error{Code: code, Subcode: subcode, Message: person, UserTitle: "No " + person, UserMessage: "No such " + person}}
	}
	for name, hash := range map[string]bool{"hashing off": false, "hashing on": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var lines bytes.Buffer
			b := setup(t, func(o *options) {
				o.cfg.Rules.HashPersonalData = hash
				o.log = zap.New(zapcore.NewCore(zapcore.NewJSONEncoder(zap.NewProductionEncoderConfig()),
					zapcore.Lock(zapcore.AddSync(&lines)), zap.DebugLevel))
			})
			b.Script(dataset,
				quoting(190, 463), // parked
				quoting(4, 0),     // waited for
				graphtest.Fault{Accept: true, Status: 200, Body: `{"events_received":1,"messages":["` + person + `"],"fbtrace_id":"` + person + `"}`},
				quoting(100, 2804087), // dead-lettered
			)
			b.publish(dataset, event("a"))
			b.awaitAccepted(1)
			b.publish(dataset, event("b"))
			letter := b.awaitLetters(1)[0]
			b.awaitQuiet()
			conditions := fmt.Sprint(b.running.Conditions())
			b.stop(b.running)
			require.Contains(t, lines.String(), `"reason":"graph error 100/2804087: ctwa_clid is not of a real click"`)
			require.Contains(t, lines.String(), `"messages":1`)
			require.NotContains(t, lines.String()+conditions, person)
			for _, span := range b.spans.GetSpans() {
				require.NotContains(t, fmt.Sprint(span.Attributes, span.Status, span.Events), person)
			}
			if hash {
				require.Equal(t, "graph error 100/2804087: ctwa_clid is not of a real click; Meta's own words, masked: xx xxxx@xxxxxxx.xxx: xx xxxx xxxx@xxxxxxx.xxx", letter.Graph.Message)
			} else {
				require.Equal(t, "graph error 100/2804087: No "+person+": No such "+person, letter.Graph.Message)
			}
		})
	}
}
