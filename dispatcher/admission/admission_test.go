package admission_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/admission"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/deadletter"
	"github.com/capi-dispatcher/capi-dispatcher/graph"
	"github.com/capi-dispatcher/capi-dispatcher/graph/event"
)

var now = time.Unix(1_800_000_000, 0)

// on returns a Purchase of this time, for this account.
func on(account string, at time.Time) string {
	return fmt.Sprintf(`{"event_name":"Purchase","event_time":%d,"action_source":"business_messaging","messaging_channel":"messenger",`+
		`"user_data":{"page_id":%q,"page_scoped_user_id":"7"},"custom_data":{"currency":"EUR","value":1}}`, at.Unix(), account)
}

func decode(t *testing.T, text string) *event.Event {
	t.Helper()
	request, err := event.NewDecoder(event.DefaultRules()).Decode([]byte(text))
	require.NoError(t, err)
	return &request.Events[0]
}

func accounts() *admission.Config {
	return &admission.Config{
		Assets: admission.Assets{Pages: map[string]admission.Asset{
			"1": {Dataset: "10"}, "2": {Dataset: "20", Country: "DE"},
		}},
		RestrictedCountries: []string{"DE"},
	}
}

// What becomes of an event, by where it is to go, what it says and what time it is.
func TestDecide(t *testing.T) {
	t.Parallel()
	const room = 2000
	for name, tc := range map[string]struct {
		to, event string
		reason    deadletter.Reason
		code      event.Code
		wait      time.Duration
		foreign   admission.ForeignAccounts
		asks      bool
	}{
		"sent":                          {to: "10", event: on("1", now)},
		"by its account":                {to: admission.Auto, event: on("1", now)},
		"nobody has said where":         {to: "", event: on("99", now)},
		"faulty":                        {to: "10", event: strings.Replace(on("1", now), "EUR", "E", 1), reason: deadletter.Invalid},
		"no dataset":                    {to: "shop", event: on("1", now), reason: deadletter.NoDataset, code: "no_dataset"},
		"unknown account":               {to: admission.Auto, event: on("99", now), reason: deadletter.NoDataset, code: "no_dataset"},
		"Meta is asked for its account": {to: admission.Auto, event: on("99", now), asks: true},
		"restricted region":             {to: "20", event: on("2", now), reason: deadletter.RestrictedRegion, code: "restricted_region"},
		"too large": {
			to: "10", event: strings.Replace(on("1", now), `"EUR"`, `"EUR","content_name":"`+strings.Repeat("x", room)+`"`, 1),
			reason: deadletter.TooLarge, code: admission.TooLarge,
		},
		"another's account":           {to: "30", event: on("1", now)},
		"another's account, refused":  {to: "30", event: on("1", now), foreign: admission.RefuseForeign, reason: deadletter.Invalid, code: "foreign_account"},
		"another's account, rerouted": {to: "30", event: on("1", now), foreign: admission.RerouteForeign},
		"from a fast clock":           {to: "10", event: on("1", now.Add(5*time.Minute)), wait: 5*time.Minute + time.Second, code: event.InFuture},
		"from the far future":         {to: "10", event: on("1", now.Add(admission.MaxSkew+time.Second)), reason: deadletter.Invalid, code: event.InFuture},
		"too old":                     {to: "10", event: on("1", now.Add(-event.MaxAge-time.Second)), reason: deadletter.Expired},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cfg := accounts()
			cfg.ForeignAccounts = tc.foreign
			got := admission.New(cfg, room, tc.asks).Decide(tc.to, event.Envelope{}, decode(t, tc.event), now)
			require.Equal(t, tc.reason, got.Reason, got.Faults)
			require.Equal(t, tc.wait, got.Wait)
			if tc.code != "" {
				require.Equal(t, tc.code, got.Faults[len(got.Faults)-1].Code)
			}
		})
	}
}

// What happened before the server stored the event is not in the future, whatever
// the clock says.
func TestWhatWasStoredHasHappened(t *testing.T) {
	t.Parallel()
	e := decode(t, on("1", now.Add(5*time.Minute)))
	a := admission.New(accounts(), 1<<20, false)
	require.Zero(t, a.Check(e, event.Envelope{}, nil, now.Add(5*time.Minute), now))
	require.NotZero(t, a.Check(e, event.Envelope{}, nil, now.Add(5*time.Minute-time.Second), now))
}

// The subject goes before the header, and that before the account. A header that
// names no dataset is a fault, and no reason to look further.
func TestRoute(t *testing.T) {
	t.Parallel()
	a := admission.New(accounts(), 1<<20, true)
	for name, tc := range map[string]struct {
		word, header, account string
		dataset, asks, fault  string
	}{
		"subject":            {"30", "40", "1", "30", "", ""},
		"header":             {admission.Auto, "40", "1", "40", "", ""},
		"account":            {admission.Auto, "", "1", "10", "", ""},
		"header is none":     {admission.Auto, "shop", "1", "", "", "does not hold a dataset id"},
		"subject is none":    {"shop", "40", "1", "", "", "does not end in a dataset id"},
		"account to ask for": {admission.Auto, "", "99", "", "99", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dataset, ask, fault := a.Route(tc.word, tc.header, decode(t, on(tc.account, now)))
			require.Equal(t, tc.dataset, dataset)
			require.Equal(t, tc.asks, ask.ID)
			require.Equal(t, tc.fault == "", fault == nil)
			if fault != nil {
				require.Contains(t, fault.Message, tc.fault)
			}
		})
	}
	require.Equal(t, graph.Asset{Kind: graph.Page, ID: "99"}, admission.AccountOf(decode(t, on("99", now))))
}

// What is configured completes what is said, and never replaces it.
func TestComplete(t *testing.T) {
	t.Parallel()
	a := admission.New(&admission.Config{
		PartnerAgent: "ours",
		Datasets:     map[string]admission.Dataset{"10": {PartnerAgent: "theirs", TestEventCode: "TEST1"}},
	}, 1<<20, false)
	require.Equal(t, event.Envelope{PartnerAgent: "theirs", TestEventCode: "TEST1"}, a.Complete(event.Envelope{}, "10"))
	require.Equal(t, event.Envelope{PartnerAgent: "ours"}, a.Complete(event.Envelope{}, "20"))
	said := event.Envelope{PartnerAgent: "said", TestEventCode: "TEST2"}
	require.Equal(t, said, a.Complete(said, "10"))
	require.Equal(t, event.Envelope{}, a.Complete(event.Envelope{}, ""), "nobody knows yet for whom it is")
}

// A dataset's only account of a channel is filled in; of two, neither is.
func TestAccountsAreFilledInWhereThereIsOne(t *testing.T) {
	t.Parallel()
	cfg := accounts()
	require.False(t, admission.New(cfg, 1<<20, false).Fills())
	cfg.FillAccounts = true
	cfg.Assets.Pages["3"], cfg.Assets.Pages["4"] = admission.Asset{Dataset: "20"}, admission.Asset{Dataset: "20"}
	cfg.Assets.WhatsAppAccounts = map[string]admission.WhatsAppAccount{"5": {Dataset: "20"}}
	a := admission.New(cfg, 1<<20, false)
	require.True(t, a.Fills())
	require.Equal(t, event.Assets{Page: "1"}, a.AccountsFor("10"))
	require.Equal(t, event.Assets{WhatsApp: "5"}, a.AccountsFor("20"))
	require.Zero(t, a.AccountsFor("30"))
}

// Every fault of the configuration is reported, with its place.
func TestValidate(t *testing.T) {
	t.Parallel()
	require.EqualError(t, admission.Datasets{"shop": {}, "1": {}}.Validate(), "shop: is not a dataset id: digits only")
	err := (&admission.Assets{
		Pages:            map[string]admission.Asset{"1": {}, "2": {Country: "Germany"}},
		WhatsAppAccounts: map[string]admission.WhatsAppAccount{"3": {}},
	}).Validate()
	for _, at := range []string{"pages.1.dataset: ", "pages.2.country: ", "whatsapp_business_accounts.3.dataset: "} {
		require.ErrorContains(t, err, at)
	}
	require.NoError(t, accounts().Assets.Validate())
	for _, known := range []admission.ForeignAccounts{admission.WarnForeign, admission.RefuseForeign, admission.RerouteForeign} {
		require.NoError(t, known.Validate())
	}
	require.EqualError(t, admission.ForeignAccounts("keep").Validate(), `"keep" is neither "warn", "refuse" nor "reroute"`)
	require.Error(t, admission.ValidateCountry("Germany"))
	for _, country := range admission.RestrictedCountries() {
		require.NoError(t, admission.ValidateCountry(country))
	}
}
