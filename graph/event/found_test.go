package event_test

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/capi-dispatcher/capi-dispatcher/graph/event"
)

// A fault says what was found, what was expected, and how to mend it.
func TestFaultsAreForPeople(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		path  string
		value any
		want  string
	}{
		{"custom_data.value", "12,50", `value is "12,50", not a number; write 12.5`},
		{"custom_data.value", "1.234,50 €", `value is "1.234,50 €", not a number; write 1234.5`},
		{"custom_data.value", "$1,234.00", `value is "$1,234.00", not a number; write 1234`},
		{"custom_data.value", "1,234", `value is "1,234", not a number; write a number like 12.5`},
		{"custom_data.value", "1 234 567,8", `value is "1 234 567,8", not a number; write 1234567.8`},
		{"custom_data.value", "free", `value is "free", not a number; write a number like 12.5`},
		{"custom_data.value", true, `value is true, not a number; write a number like 12.5`},
		{"custom_data.value", object{"mine": 1}, `value is an object, not a number; write a number like 12.5`},
		{"custom_data.currency", "€", `currency is "€", not a currency code of ISO 4217; write "EUR"`},
		{"custom_data.currency", " usd ", `currency is " usd ", not a currency code of ISO 4217; write "USD"`},
		{"custom_data.currency", "Taler", `currency is "Taler", not a currency code of ISO 4217; write a code like "USD"`},
		{"custom_data.num_items", "2,0", `num_items is "2,0", not a whole number; write 2`},
		{"custom_data.contents", object{}, `contents is an object, not a list; put it into [ ]`},
		{"custom_data.contents", list(object{"name": "Shoe"}), `name is not a member that Meta knows in contents; call it title`},
		{"custom_data.content_ids", "a", `content_ids is "a", not a list; put it into [ ]`},
		{"custom_data", list(), `custom_data is a list, not an object`},
		{"opt_out", "yes", `opt_out is "yes", not true or false; write true`},
		{"event_time", "2026-11-24 05:47:12", `event_time is "2026-11-24 05:47:12", not a whole number of seconds since 1970; ` +
			`write it with its offset from UTC, like 2006-01-02T15:04:05Z, or as seconds`},
		{"event_time", at * 1000, `event_time is 1675999999000, which looks like milliseconds or finer; write seconds, like 1675999999`},
		{"action_source", "Website", `action_source is "Website", not "email", "website", "app", "phone_call", "chat", "physical_store", ` +
			`"system_generated", "business_messaging" or "other"; write "website"`},
		{"data_processing_options_country", 7, `data_processing_options_country is 7, not the number 0 or 1`},
		{"event_id", 1.5, `event_id is 1.5, not a string or a whole number`},
		{"user_data.fbc", 12345, `fbc is another number, not a string`},
		{"user_data.lead_id", "l:123456789012345", `lead_id is a text, not an id of 15 to 17 digits`},
		{"user_data.em", object{"a": "b"}, `em is an object, not a string, a whole number, or a list of them`},
	} {
		e := decodeOne(t, event.DefaultRules(), other().with("user_data.em", "x").with(tc.path, tc.value).String())
		require.Equal(t, tc.want, e.Faults[0].Message)
	}
}

func TestIdsThatAreNoneOfMeta(t *testing.T) {
	t.Parallel()
	for value, want := range map[string]string{
		"<PAGE_ID>": "is a placeholder, not an id of digits", johnHashed: "is a hash, not an id of digits", "shop": "is a text, not an id of digits", "１２": "is a text",
	} {
		e := decodeOne(t, event.DefaultRules(), messengerChat().with("user_data.page_scoped_user_id", value).String())
		require.Equal(t, []string{"/user_data/page_scoped_user_id bad_format"}, pointersAndCodes(e.Faults))
		require.Contains(t, e.Faults[0].Message, want)
		require.Empty(t, decodeOne(t, event.DefaultRules(), other().with("user_data.page_id", value).String()).Faults, "beside chats nobody looks at it")
	}
}

// What a fault quotes is short, fits a terminal and a header, and is neither an
// address nor a secret, nor anything of the customer's.
func TestWhatAFaultQuotes(t *testing.T) {
	t.Parallel()
	for _, value := range []string{
		strings.Repeat("ä", 10_000), "a\x1b[2Jb\nc\u202e", "john@example.com", "mail john@example.com " + strings.Repeat("x", 100),
		"EAA" + strings.Repeat("b7", 60), "EAA" + strings.Repeat("b7", 20),
	} {
		for _, path := range []string{"event_time", "action_source", "custom_data.value", "custom_data.currency", "custom_data.contents", "opt_out", "app_data.extinfo"} {
			e := decodeOne(t, event.DefaultRules(), other().with(path, value).String())
			message := e.Faults[0].Message
			require.NotContains(t, message, "john")
			require.NotContains(t, message, "b7b7b7b7b7b7b7b7b7b7b7b7b7b7b7b7b7b7b7b7b7b7b7")
			require.NotRegexp(t, "[\x00-\x1f\u202e]", message)
			require.Less(t, utf8.RuneCountInString(message), 300)
		}
	}
	const private = "Tullamore-4711"
	for name := range strings.FieldsSeq("em ph fn ge db country external_id lead_id page_id page_scoped_user_id ig_sid ctwa_clid client_ip_address fbc partner_name") {
		for _, value := range []any{private, list(private), list(list(private)), object{"a": private}, 4711.5} {
			for _, base := range []object{other(), messengerChat(), whatsAppChat(), instagramChat()} {
				for _, rules := range []event.Rules{event.DefaultRules(), hashingRules(event.Remove), hashingRules(event.Refuse)} {
					e := decodeOne(t, rules, base.with("user_data."+name, value).String())
					require.NotContains(t, event.MarshalFaults(append(e.Faults, e.Warnings...)), "4711")
				}
			}
		}
	}
}

func hashingRules(unusable event.Extras) event.Rules {
	rules := event.DefaultRules()
	rules.HashPersonalData, rules.UnusablePersonalData = true, unusable
	return rules
}
