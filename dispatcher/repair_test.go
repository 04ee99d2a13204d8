package dispatcher_test

import (
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/attribute"

	rules "github.com/capi-dispatcher/capi-dispatcher/graph/event"
	"github.com/capi-dispatcher/capi-dispatcher/graph/event/customer"
	"github.com/capi-dispatcher/capi-dispatcher/graph/graphtest"
)

// shop is an event of a shop's website, as its producer has written it.
func shop(id, eventTime, userData, more string) string {
	return `{"event_name":"Purchase","event_id":"` + id + `","event_time":` + eventTime + `,"user_data":{` + userData + `},` +
		`"custom_data":{"value":1.5,"currency":"EUR"}` + more + `}`
}

func unix(at time.Time) string { return strconv.FormatInt(at.Unix(), 10) }

// What is spelled in another way than Meta's is sent in Meta's, and counted once,
// however often the event is parked.
func TestRepairsAndWarningsAreCounted(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.Script(dataset, graphtest.Fault{Error: graphtest.TokenExpired()})
	now := time.Now().Add(-time.Minute)
	b.publish(dataset, shop("a", `"`+now.Format(time.RFC3339Nano)+`"`, `"em":"x"`, `,"action_source":"website","event_source_url":"https://shop.example/"`))
	b.awaitAccepted(1)
	b.awaitQuiet()
	require.Contains(t, string(b.Ledger().Entries()[0].Raw), `"event_time":`+unix(now)+`,`)
	require.Positive(t, b.settledAs("parked"))
	require.EqualValues(t, 1, b.books("capi.members.repaired", attribute.String("member", "/event_time"), attribute.String("dataset", dataset)))
	require.EqualValues(t, 1, b.books("capi.events.warned", attribute.String("code", string(rules.NoUserAgent)), attribute.String("dataset", dataset)))
	require.EqualValues(t, 1, b.books("capi.events.warned"), "it was published in time")

	b.publish(dataset, shop("late", unix(now.Add(-2*time.Hour)), `"em":"x"`, `,"action_source":"other"`))
	b.awaitAccepted(2)
	b.awaitQuiet()
	require.EqualValues(t, 1, b.books("capi.events.warned", attribute.String("code", string(rules.SentLate))))
	require.Empty(t, b.letters())
}

// A gender that Meta does not have, and a country by its name, kill no purchase.
func TestUnusablePersonalDataKillsNoPurchase(t *testing.T) {
	t.Parallel()
	purchase := shop("a", unix(time.Now()), `"em":"jane@example.com","ge":"divers","country":"Deutschland","db":"16.02.1997"`, `,"action_source":"other"`)
	b := setup(t, func(o *options) { o.cfg.Rules.HashPersonalData = true })
	b.publish(dataset, purchase)
	b.awaitAccepted(1)
	b.awaitQuiet()
	sent := string(b.Ledger().Entries()[0].Raw)
	require.NotContains(t, sent, `"ge"`)
	require.Contains(t, sent, `"country":"`+customer.Hash("de")+`","db":"`+customer.Hash("19970216")+`"`)
	require.EqualValues(t, 1, b.books("capi.members.removed", attribute.String("member", "/user_data/ge")))

	b = setup(t, func(o *options) {
		o.cfg.Rules.HashPersonalData, o.cfg.Rules.UnusablePersonalData = true, rules.Refuse
	})
	b.publish(dataset, purchase)
	letter := b.awaitLetters(1)[0]
	require.Len(t, letter.Faults, 1)
	require.Equal(t, "/user_data/ge", letter.Faults[0].Pointer)
}

// Producers that name no action_source get the one that is configured.
func TestTheDefaultActionSourceIsSent(t *testing.T) {
	t.Parallel()
	b := setup(t, func(o *options) { o.cfg.Rules.DefaultActionSource = rules.SystemGenerated })
	b.publish(dataset, shop("a", unix(time.Now()), `"em":"x"`, ``))
	b.awaitAccepted(1)
	b.awaitQuiet()
	require.True(t, strings.HasPrefix(string(b.Ledger().Entries()[0].Raw), `{"action_source":"system_generated","event_name":"Purchase",`))
	require.EqualValues(t, 1, b.books("capi.members.repaired", attribute.String("member", "/action_source")))
}

// Faults tell people in the dead letter what to write, and tell neither logs nor
// spans.
func TestADeadLetterSaysHowToMendIt(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.publish(dataset, strings.Replace(shop("a", unix(time.Now()), `"em":"x"`, `,"action_source":"other"`), `1.5`, `"12,50"`, 1))
	letter := b.awaitLetters(1)[0]
	b.awaitQuiet()
	require.Equal(t, `value is "12,50", not a number; write 12.5`, letter.Faults[0].Message)
	for _, span := range b.spans.GetSpans() {
		for _, kv := range span.Attributes {
			require.NotContains(t, kv.Value.String(), "12,50")
		}
	}
}
