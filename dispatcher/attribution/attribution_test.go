package attribution_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/admission"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/attribution"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/attribution/clicks"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/attribution/index"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/attribution/keyring"
	"github.com/capi-dispatcher/capi-dispatcher/graph/event"
)

const dataset, other = "1234567890", "2222222222"

func ring(t *testing.T) *keyring.Ring {
	t.Helper()
	keys, err := keyring.Parse("k1 " + base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{1}, 32)))
	require.NoError(t, err)
	return keys
}

// known is an index that knows some clicks, by account and alias.
type known struct {
	asked [][]index.Query
	found map[string]index.Found
	err   error
}

func (k *known) Look(_ context.Context, queries []index.Query) []index.Found {
	k.asked = append(k.asked, queries)
	answers := make([]index.Found, len(queries))
	for i, q := range queries {
		for _, alias := range q.Aliases {
			if found, ok := k.found[q.Scope.Account+alias]; ok {
				answers[i] = found
			}
		}
		answers[i].Err = k.err
	}
	return answers
}

func assets() *admission.Assets {
	return &admission.Assets{
		WhatsAppAccounts: map[string]admission.WhatsAppAccount{"102": {Dataset: dataset}, "103": {Dataset: dataset}, "900": {Dataset: other}},
		Pages:            map[string]admission.Asset{"106": {Dataset: dataset}, "107": {Country: "US"}},
	}
}

func lacking(channel event.Channel, user, capi string) *event.Event {
	raw := fmt.Sprintf(`{"event_name":"LeadSubmitted","event_time":1700000000,"action_source":"business_messaging","messaging_channel":%q,"user_data":%s,"_capi":%s}`,
		channel, user, capi)
	request, err := event.NewDecoder(event.DefaultRules()).Decode([]byte(raw))
	if err != nil {
		panic(err)
	}
	return &request.Events[0]
}

func TestWhereAnEventIsLookedFor(t *testing.T) {
	t.Parallel()
	a := attribution.New(attribution.DefaultConfig(), assets(), ring(t), &known{})
	for name, tc := range map[string]struct {
		event    *event.Event
		accounts []string
		aliases  int
		advice   string
	}{
		"all of the dataset's":      {lacking(event.WhatsApp, `{}`, `{"wa_id":"491"}`), []string{"102", "103"}, 2, "no webhook"},
		"the event's":               {lacking(event.WhatsApp, `{"whatsapp_business_account_id":"103"}`, `{"wa_id":"491"}`), []string{"103"}, 1, "no webhook"},
		"the reference's":           {lacking(event.WhatsApp, `{}`, `{"wa_id":"491","account":"102"}`), []string{"102"}, 1, "no webhook"},
		"by several names":          {lacking(event.WhatsApp, `{}`, `{"wa_id":"491","user_id":"US.1","conversation_id":"c","account":"102"}`), []string{"102"}, 4, "no webhook"},
		"by a number and its hash":  {lacking(event.WhatsApp, `{"ph":"`+clicks.HashPhone("491")+`"}`, `{"wa_id":"+491","account":"102"}`), []string{"102"}, 1, "no webhook"},
		"not another tenant's":      {lacking(event.WhatsApp, `{}`, `{"wa_id":"491","account":"900"}`), nil, 0, "no account of that dataset"},
		"nor one that nobody knows": {lacking(event.WhatsApp, `{"whatsapp_business_account_id":"7"}`, `{"wa_id":"491"}`), nil, 0, "no account of that dataset"},
		"nor of another channel":    {lacking(event.Instagram, `{}`, `{"user_id":"17"}`), nil, 0, "no account of that dataset"},
		"nobody is named":           {lacking(event.WhatsApp, `{}`, `null`), nil, 0, "nothing that its person could be found by"},
		"aliases of a producer":     {lacking(event.WhatsApp, `{}`, `{"aliases":["102:AAAAAAAAAAAAAAAAAAAAAA"]}`), nil, 0, "nothing that its person could be found by"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			index := &known{}
			a := attribution.New(attribution.DefaultConfig(), assets(), ring(t), index)
			s := a.Search(dataset, tc.event, false)
			require.Equal(t, len(tc.accounts) > 0, s.Known())
			require.Len(t, s.Aliases, tc.aliases)
			require.Contains(t, s.Advice(), tc.advice)
			a.Look(t.Context(), []attribution.Search{s})
			var accounts []string
			for _, queries := range index.asked {
				for _, q := range queries {
					accounts = append(accounts, q.Scope.Account)
					require.Equal(t, time.Unix(1700000060, 0), q.Until, "clocks differ")
					require.Zero(t, q.After)
				}
			}
			require.Equal(t, tc.accounts, accounts)
		})
	}
	stored := lacking(event.WhatsApp, `{}`, `{"aliases":["102:AAAAAAAAAAAAAAAAAAAAAA","900:AAAAAAAAAAAAAAAAAAAAAA","102:x"]}`)
	s := a.Search(dataset, stored, true)
	require.Equal(t, []string{"102:AAAAAAAAAAAAAAAAAAAAAA"}, s.Aliases, "what we have stored ourselves counts, where it may")
	require.Equal(t, dataset, a.Dataset(lacking(event.WhatsApp, `{}`, `{"wa_id":"491","account":"102"}`)))
	require.Empty(t, a.Dataset(lacking(event.WhatsApp, `{}`, `{"wa_id":"491","account":"7"}`)))
	require.Empty(t, a.Dataset(lacking(event.Messenger, `{}`, `{"user_id":"1","account":"107"}`)))
	require.Empty(t, a.Dataset(lacking(event.WhatsApp, `{}`, `null`)))
}

func TestTooManyAccounts(t *testing.T) {
	t.Parallel()
	many := &admission.Assets{WhatsAppAccounts: map[string]admission.WhatsAppAccount{}}
	for i := range 17 {
		many.WhatsAppAccounts[strconv.Itoa(i)] = admission.WhatsAppAccount{Dataset: dataset}
	}
	a := attribution.New(attribution.DefaultConfig(), many, ring(t), &known{})
	s := a.Search(dataset, lacking(event.WhatsApp, `{}`, `{"wa_id":"491"}`), false)
	require.False(t, s.Known())
	require.Contains(t, s.Advice(), "17 accounts")
	s = a.Search(dataset, lacking(event.WhatsApp, `{}`, `{"wa_id":"491","account":"3"}`), false)
	require.True(t, s.Known())
}

func TestWhatIsFound(t *testing.T) {
	t.Parallel()
	keys := ring(t)
	scope := func(account string) keyring.Scope { return keyring.Scope{Channel: "whatsapp", Account: account} }
	alias := func(account, phone string) string {
		return account + keys.Alias(scope(account), keyring.Phone, clicks.HashPhone(phone))
	}
	at := time.Unix(1699999000, 0)
	i := &known{found: map[string]index.Found{
		alias("102", "491"): {Sealed: keys.Seal(scope("102"), "older"), At: at},
		alias("103", "491"): {Sealed: keys.Seal(scope("103"), "newer"), At: at.Add(time.Second)},
		alias("102", "492"): {Sealed: keys.Seal(scope("102"), "second"), At: at},
		alias("102", "494"): {Sealed: "k1.xyz", At: at},
	}}
	cfg := attribution.DefaultConfig()
	cfg.MaxClickAge = time.Hour
	a := attribution.New(cfg, assets(), keys, i)
	var searches []attribution.Search
	for _, capi := range []string{`{"wa_id":"491"}`, `{"wa_id":"492"}`, `{"wa_id":"493"}`, `{"wa_id":"494"}`, `null`} {
		searches = append(searches, a.Search(dataset, lacking(event.WhatsApp, `{}`, capi), false))
	}
	searches = append(searches, a.Search(dataset, lacking(event.Messenger, `{}`, `{"user_id":"17"}`), false))
	matches := a.Look(t.Context(), searches)
	require.Len(t, i.asked, 1, "all at once")
	require.Equal(t, time.Unix(1700000000-3600, 0), i.asked[0][0].After)
	require.ErrorIs(t, matches[3].Err, keyring.ErrNotOpened)
	matches[3].Err = nil
	require.Equal(t, []attribution.Match{
		{Person: "newer", Account: "103", At: at.Add(time.Second)},
		{Person: "second", Account: "102", At: at},
		{},
		{},
		{},
		{Person: "17", Account: "106"},
	}, matches)
	require.Equal(t, event.Assets{Page: "106"}, matches[5].Assets(event.Messenger))
	require.Equal(t, event.Assets{WhatsApp: "103"}, matches[0].Assets(event.WhatsApp))
	require.Equal(t, event.Assets{Instagram: "103"}, matches[0].Assets(event.Instagram))

	i.err = errors.New("away")
	require.Error(t, a.Look(t.Context(), searches)[0].Err)
	i.asked = nil
	a.Look(t.Context(), searches[5:])
	require.Empty(t, i.asked, "what needs no look-up asks nobody")
}

func TestWhenEventsAreLookedUpAgain(t *testing.T) {
	t.Parallel()
	cfg := attribution.DefaultConfig()
	a := attribution.New(cfg, assets(), ring(t), &known{})
	waited := time.Duration(0)
	var at []time.Duration
	for {
		wait, over := a.NextLook(waited)
		if over {
			break
		}
		waited += wait
		at = append(at, waited)
	}
	require.Equal(t, []time.Duration{5 * time.Second, 30 * time.Second, 2 * time.Minute, 10 * time.Minute}, at)
	cfg.Wait = 0
	a = attribution.New(cfg, assets(), ring(t), &known{})
	_, over := a.NextLook(0)
	require.True(t, over)
	cfg.Wait = 20 * time.Second
	a = attribution.New(cfg, assets(), ring(t), &known{})
	wait, over := a.NextLook(6 * time.Second)
	require.False(t, over)
	require.Equal(t, 14*time.Second, wait)
}

func TestFaultsOfTheConfiguration(t *testing.T) {
	t.Parallel()
	cfg := attribution.DefaultConfig()
	require.NoError(t, cfg.Validate())
	cfg.Enabled, cfg.Stream, cfg.QueueSubject, cfg.Keep, cfg.MaxClickAge = true, "a.b", "a.>", time.Minute, time.Hour
	cfg.Wait, cfg.Unattributed, cfg.AutomaticEvents = 25*time.Hour, "guess", "on"
	err := cfg.Validate()
	for _, want := range []string{
		"key_file: is empty", `stream: "a.b"`, `queue_subject: "a.>"`, "keep: 1m0s", "max_click_age: 1h0m0s", "wait: 25h0m0s",
		`unattributed: "guess"`, `automatic_events: "on"`, "automatic_events_scale: 0 is neither 1 nor 1000",
	} {
		require.ErrorContains(t, err, want)
	}
}
