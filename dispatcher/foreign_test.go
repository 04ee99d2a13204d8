package dispatcher_test

import (
	"strings"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/attribute"

	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/admission"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/deadletter"
	"github.com/capi-dispatcher/capi-dispatcher/graph/graphtest"
)

// An event whose account is another dataset's is sent and counted, or refused, or
// sent to that dataset.
func TestForeignAccounts(t *testing.T) {
	t.Parallel()
	for action, want := range map[admission.ForeignAccounts]string{
		admission.WarnForeign: dataset, admission.RefuseForeign: "", admission.RerouteForeign: other,
	} {
		t.Run(string(action), func(t *testing.T) {
			t.Parallel()
			b := setup(t, func(o *options) {
				o.cfg.ForeignAccounts = action
				o.cfg.Assets.WhatsAppAccounts = map[string]admission.WhatsAppAccount{"102": {Dataset: other}}
			})
			b.publish(dataset, event("foreign"))
			b.publish(other, event("at home"))
			if want == "" {
				letter := b.awaitLetters(1)[0]
				require.Equal(t, deadletter.Invalid, letter.Reason)
				require.EqualValues(t, "foreign_account", letter.Faults[0].Code)
			} else {
				b.awaitAccepted(2)
				require.Equal(t, 1, b.Ledger().Counts()[graphtest.Event{Dataset: want, Name: "LeadSubmitted", ID: "foreign"}])
			}
			b.awaitQuiet()
			require.EqualValues(t, 1, b.books("capi.accounts.foreign"))
			require.EqualValues(t, 1, b.books("capi.accounts.foreign", attribute.String("action", string(action))))
			b.requireBalance()
		})
	}
}

// withoutAccount is an event as Meta's own sample of automatic events has it,
// which names no account, without an event_id.
func withoutAccount() string {
	return strings.NewReplacer(`"whatsapp_business_account_id":"102",`, "", `"event_id":"x",`, "").Replace(event("x"))
}

func fillOne(o *options) {
	o.cfg.FillAccounts = true
	o.cfg.Assets.WhatsAppAccounts = map[string]admission.WhatsAppAccount{"102": {Dataset: dataset}, "7": {Dataset: other}, "8": {Dataset: other}}
}

func TestTheOnlyAccountIsFilledIn(t *testing.T) {
	t.Parallel()
	b := setup(t, fillOne)
	b.publish(dataset, withoutAccount())
	b.awaitAccepted(1)
	b.publish(other, withoutAccount()) // which has two
	require.Equal(t, 2804116, b.awaitLetters(1)[0].Faults[0].Subcode)
	b.awaitQuiet()
	require.EqualValues(t, 1, b.books("capi.accounts.filled"))
}

// An event that has been changed is told from others by what was published, also
// when it comes back from being parked.
func TestTheIdentityIsThatOfWhatWasPublished(t *testing.T) {
	t.Parallel()
	b := setup(t, fillOne, patientPark)
	b.Always(dataset, graphtest.Fault{Error: graphtest.TokenExpired()})
	published := withoutAccount()
	b.publish(dataset, published)
	b.await("the event is parked", func() bool { return b.settledAs("parked") == 1 })
	stream, err := b.js.Stream(t.Context(), "CAPI_PARKED")
	require.NoError(t, err)
	parked, err := stream.GetMsg(t.Context(), stream.CachedInfo().State.LastSeq)
	require.NoError(t, err)
	require.True(t, strings.HasPrefix(parked.Header.Get("Capi-Dedupe-Id"), "content-"))
	require.Contains(t, string(parked.Data), `"102"`)
	b.Clear(dataset)
	b.awaitAccepted(1)
	b.publish(dataset, published)
	b.await("the copy is recognised", func() bool { return b.settledAs("duplicate") == 1 })
	b.awaitQuiet()
}

// Where nothing was changed, the identity is what it always was.
func TestAnUnchangedEventHasNoNameOfItsOwn(t *testing.T) {
	t.Parallel()
	b := setup(t, patientPark)
	b.Always(dataset, graphtest.Fault{Error: graphtest.TokenExpired()})
	b.publishMsg(&nats.Msg{Subject: "capi.events." + dataset, Data: []byte(strings.Replace(event("x"), `"event_id":"x",`, "", 1))})
	b.await("the event is parked", func() bool { return b.settledAs("parked") == 1 })
	stream, err := b.js.Stream(t.Context(), "CAPI_PARKED")
	require.NoError(t, err)
	parked, err := stream.GetMsg(t.Context(), stream.CachedInfo().State.LastSeq)
	require.NoError(t, err)
	require.Empty(t, parked.Header.Get("Capi-Dedupe-Id"))
}
