package event_test

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/capi-dispatcher/capi-dispatcher/graph/event"
)

// described are the paths of all members that a schema speaks of.
func described(schema map[string]any, before string) (paths []string) {
	for name, member := range schema["properties"].(map[string]any) {
		paths = append(paths, before+name)
		if inner := member.(map[string]any); inner["properties"] != nil {
			paths = append(paths, described(inner, before+name+".")...)
		}
	}
	return paths
}

// oddValues are spelled as somebody's producer may spell them.
func oddValues() []any {
	number := func(text string) any { return json.Number(text) }
	return append(values(),
		"a\nb", "üü", "USÜ", "€", " USD", " 1", "1\n", "\u00a01", "\ufeff1", "\u30001\u2003", "١", "1.0", " 1.00 ", "2.50", "1e3", "-0", "-5.00", "1.", ".5", "+1",
		"0x1", "1,5", "12345678901234567890123", "2023-02-10", "2023-02-10T04:33Z", "\u00a02023-02-10T04:33:19+0100", "True", "FALSE", " tRue\t", "yes",
		number("1.0"), number("-5.00"), number("1e0"), number("10E-1"), number("123456789012345.0"), number("1e20"), number("-0.0"),
		list("a"), list(" 7 "), list(nil), list("", nil), list(list("a")),
		list(object{"id": nil, "quantity": nil, "item_price": "1.5"}), list(object{"quantity": " 2.0"}), list(object{"quantity": number("2.0")}),
		list(object{"quantity": -2}), list(object{"item_price": " 1 "}), list(object{"delivery_category": ""}), list(object{"delivery_category": nil}),
		slotOf(9, nil), slotOf(9, 5.5), slotOf(3, nil), slotOf(15, true), slotOf(0, "a2"), slotOf(9, " 5.0 "),
	)
}

// Every value in the place of every member: what the decoder takes, the schema does.
func TestTheSchemaTakesEveryValueInItsPlace(t *testing.T) {
	t.Parallel()
	text, err := json.Marshal(event.JSONSchema(event.DefaultRules()))
	require.NoError(t, err)
	var whole struct {
		Defs map[string]map[string]any `json:"$defs"`
	}
	require.NoError(t, json.Unmarshal(text, &whole))
	paths := append(described(whole.Defs["event"], ""), // and those that depend on where the event comes from
		"event_source_url", "user_data.client_ip_address", "user_data.client_user_agent", "user_data.fbc", "user_data.fbp")
	require.Greater(t, len(paths), 100)
	schema, d, taken := compiled(t, event.DefaultRules()), event.NewDecoder(event.DefaultRules()), 0
	for _, base := range []object{website(), app(), whatsAppChat()} {
		for _, path := range paths {
			for _, value := range oddValues() {
				made := safely(base, path, value).String()
				got, err := d.Decode([]byte(made))
				require.NoError(t, err)
				if len(got.Events[0].Faults) == 0 {
					taken++
					require.NoError(t, judge(t, schema, made), "%s: %s", path, made)
				}
			}
		}
	}
	t.Log(taken, "events taken")
	require.Greater(t, taken, 10_000)
}
