package event_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/capi-dispatcher/capi-dispatcher/graph/event"
)

// Whose name a member has may be personal data, where producers use it as a key.
// What is said of a message names the members that Meta documents, and no other.
func TestNamesOfOthersAreNotTold(t *testing.T) {
	t.Parallel()
	const name = "john@example.com"
	for _, message := range []string{
		`{"%s": broken`,
		`{"%s": "a", "%s": "b"}`,
		`{"%s`,
		`{"%s": `,
		`{"%s": {"em": [1, }`,
		`{"a": {"%s": [{"%s": tru}]}}`,
		`{"user_data": {"%s": 01}}`,
		`{"user_data": {"em": {"%s": {"%s": nul}}}}`,
		`{"custom_data": {"contents": [{"id": 1}, {"%s": "\x"}]}}`,
		`{"data": [{}, {"%s": "\ud800"}]}`,
		`{"data": {"%s": broken}}`,
		`{"data": [{}], "%s": broken}`,
		`{"data": [{}], "test_event_code": {"%s": 1}}`,
		`{"data": [], "%s": 1}`,
		`{"%s": 1} x`,
		`{"event_name": {"%s": 1}, "user_data": ["%s"], "custom_data": {"contents": {"%s": 1}}, "app_data": {"extinfo": {"%s": 2}}}`,
		`{"data": [{"user_data": {"em": {"%s": 1}, "ph": [{"%s": 2}]}}]}`,
	} {
		for _, key := range []string{name, "4915112345678", `a\/b~0\u006aohn`, "0"} {
			requireNameless(t, strings.ReplaceAll(message, "%s", key), key)
		}
	}
}

// requireNameless asserts that nothing said of a message holds the name, but
// for the short ones, which are in everything.
func requireNameless(t *testing.T, message, name string) {
	t.Helper()
	for _, rules := range []event.Rules{event.DefaultRules(), {HashPersonalData: true}} {
		told := whatIsTold(message, rules)
		if len(name) > 3 {
			require.NotContains(t, told, name, message)
		}
		require.NotContains(t, told, "john", message)
		require.NotRegexp(t, `/[0-9]{2,}`, told, message)
	}
}

// whatIsTold is all that the decoder says of a message and of its events.
func whatIsTold(message string, rules event.Rules) string {
	got, err := event.NewDecoder(rules).Decode([]byte(message))
	told := []string{fmt.Sprint(err)}
	for _, e := range got.Events {
		told = append(told, event.MarshalFaults(e.Faults), strings.Join(e.Removed, " "))
	}
	return strings.Join(told, " ")
}

// The place is told as far as it is known.
func TestThePlaceIsTold(t *testing.T) {
	t.Parallel()
	for message, want := range map[string]string{
		`{"user_data": {"em": [tru]}}`:                    `at offset 25, in "/user_data/em/*"`,
		`{"data": [{}, {"custom_data": {"value": tru}}]}`: `in "/data/*/custom_data/value"`,
		`{"user_data": {"my own": {"em": tru}}}`:          `in "/user_data/*/em"`,
		`{"data": [{}], "partner_agent": x}`:              `in "/partner_agent"`,
	} {
		_, err := event.NewDecoder(event.DefaultRules()).Decode([]byte(message))
		require.ErrorIs(t, err, event.ErrMalformed)
		require.ErrorContains(t, err, want)
	}
}

// FuzzNames: wherever a name stands in a message, and whatever is around it, it
// is not told.
func FuzzNames(f *testing.F) {
	f.Add(`{"`, `": broken`)
	f.Add(`{"user_data":{"`, `":1,"`)
	f.Add(`{"data":[{"custom_data":{"contents":[{"`, `":[}`)
	f.Add(`{"a":"`, ``)
	f.Fuzz(func(t *testing.T, before, after string) {
		const name = "hush-hush@example.com"
		message := before + name + after
		for _, rules := range []event.Rules{event.DefaultRules(), {HashPersonalData: true}} {
			require.NotContains(t, whatIsTold(message, rules), name)
		}
	})
}
