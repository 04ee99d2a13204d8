package event_test

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/capi-dispatcher/capi-dispatcher/graph/event"
)

// warningTries are events with each warning, and events without.
func warningTries() map[event.Code]struct{ warned, clean []object } {
	const agent = "Mozilla/5.0"
	web := website().with("user_data.client_user_agent", agent)
	money := other().with("custom_data.currency", "EUR")
	return map[event.Code]struct{ warned, clean []object }{
		event.NoUserAgent: {
			[]object{website(), website().with("user_data.client_user_agent", ""), website().with("user_data.client_user_agent", nil)},
			[]object{web, other(), messengerChat()},
		},
		event.NoTrackingFlag: {
			[]object{app().with("app_data.advertiser_tracking_enabled", absent{}), app().with("app_data.advertiser_tracking_enabled", nil)},
			[]object{app(), app().with("app_data.advertiser_tracking_enabled", false), other().with("app_data", object{})},
		},
		event.WithdrawnCurrency: {
			[]object{money.with("custom_data.currency", "HRK"), money.with("custom_data.currency", "dem"), purchase().with("custom_data.currency", "BGN")},
			[]object{money, money.with("custom_data.currency", ""), money.with("custom_data.currency", "usd")},
		},
		event.BadAddress: {
			[]object{
				web.with("user_data.client_ip_address", johnHashed), other().with("user_data.client_ip_address", "192.0.2.1, 192.0.2.2"),
				web.with("user_data.client_ip_address", "<IP>"), web.with("user_data.client_ip_address", "localhost"),
			},
			[]object{
				web.with("user_data.client_ip_address", "192.0.2.1"), web.with("user_data.client_ip_address", "2001:DB8::1"),
				web.with("user_data.client_ip_address", "::ffff:192.0.2.1"), web.with("user_data.client_ip_address", ""),
				messengerChat().with("user_data.client_ip_address", "x"),
			},
		},
		event.BadURL: {
			[]object{
				web.with("event_source_url", "shop"), web.with("event_source_url", "<URL>"), web.with("event_source_url", "https://"),
				web.with("event_source_url", "https:///x"), web.with("event_source_url", "ftp://shop.example"), web.with("event_source_url", "https://a b"),
			},
			[]object{web, web.with("event_source_url", "HTTP://shop.example?x=1#y"), other().with("event_source_url", "app")},
		},
		event.BadClick: {
			[]object{web.with("user_data.fbc", " "), web.with("user_data.fbp", "<FBP>"), other().with("user_data.fbc", "<fbc>")},
			[]object{web.with("user_data.fbc", "fb.1.1.A"), web.with("user_data.fbc", ""), messengerChat().with("user_data.fbc", " ")},
		},
		event.BadReference: {
			[]object{web.with("_capi", "x"), web.with("_capi", list(1)), web.with("_capi", object{}), web.with("_capi", object{"wa_id": list(1)})},
			[]object{web, web.with("_capi", nil), web.with("_capi", object{"wa_id": "491701234567"}), web.with("_capi", object{"user_id": 7})},
		},
		event.SentLate: {}, // TestCheckPromptness, for it depends on the time of day
	}
}

func TestWarnings(t *testing.T) {
	t.Parallel()
	for _, code := range event.WarningCodes() {
		tries, ok := warningTries()[code]
		require.True(t, ok, code)
		for _, made := range tries.warned {
			e := decodeOne(t, event.DefaultRules(), made.String())
			require.Empty(t, e.Faults, "%s never stops an event", made)
			require.Contains(t, codesOf(e.Warnings), code, made)
		}
		for _, made := range tries.clean {
			e := decodeOne(t, event.DefaultRules(), made.String())
			require.NotContains(t, codesOf(e.Warnings), code, made)
		}
	}
}

func codesOf(faults []event.Fault) (codes []event.Code) {
	for _, f := range faults {
		codes = append(codes, f.Code)
	}
	return codes
}

func TestCheckPromptness(t *testing.T) {
	t.Parallel()
	now := time.Unix(1_800_000_000, 0)
	for _, tc := range []struct {
		e    event.Event
		warn bool
	}{
		{event.Event{Time: now}, false},
		{event.Event{Time: now.Add(-time.Hour)}, false},
		{event.Event{Time: now.Add(-time.Hour - time.Second)}, true},
		{event.Event{Time: now.Add(time.Hour)}, false},
		{event.Event{Time: now.Add(-24 * time.Hour), ActionSource: event.PhysicalStore}, false},
		{event.Event{Time: now.Add(-event.MaxAge)}, true},
		{event.Event{Time: now.Add(-event.MaxAge - time.Second)}, false}, // it is not sent
		{event.Event{}, false},                                           // it has no time, which is a fault
	} {
		warning := tc.e.CheckPromptness(now)
		require.Equal(t, tc.warn, warning != nil, tc.e.Time)
		if warning != nil {
			require.Equal(t, event.SentLate, warning.Code)
		}
	}
}

// To warn of nothing costs nothing.
func TestEventsWithoutWarningsAllocateNothingForThem(t *testing.T) {
	clean := []byte(website().with("user_data", object{
		"client_user_agent": "Mozilla/5.0", "client_ip_address": "192.0.2.1", "fbc": "fb.1.1.A", "fbp": "fb.1.1.1",
	}).with("custom_data.currency", "eur").String())
	plain := []byte(strings.Replace(string(clean), `"website"`, `"email"`, 1))
	d := event.NewDecoder(event.DefaultRules())
	allocations := func(body []byte) float64 {
		return testing.AllocsPerRun(100, func() { _, _ = d.Decode(body) })
	}
	require.LessOrEqual(t, allocations(clean), allocations(plain))
	require.Empty(t, decodeOne(t, event.DefaultRules(), string(clean)).Warnings)
}

// The documentation has every warning, and no other.
func TestEveryWarningIsDocumented(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../docs/events.md")
	require.NoError(t, err)
	_, section, _ := strings.Cut(string(text), "### Warnings\n")
	section, _, _ = strings.Cut(section, "\n#")
	var documented []event.Code
	for _, row := range regexp.MustCompile("(?m)^\\| `([a-z]+_[a-z_]+)` \\|").FindAllStringSubmatch(section, -1) {
		documented = append(documented, event.Code(row[1]))
	}
	require.True(t, slices.Equal(event.WarningCodes(), documented), documented)
}
