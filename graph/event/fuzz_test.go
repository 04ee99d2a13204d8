package event_test

import (
	"bytes"
	"encoding/json"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/stretchr/testify/require"

	"github.com/capi-dispatcher/capi-dispatcher/graph/event"
	"github.com/capi-dispatcher/capi-dispatcher/graph/event/customer"
)

// FuzzDecode holds the decoder against the JSON library's own verdict: what
// it accepts is valid JSON, what it calls malformed is not, and every event it
// returns says the same as in the message, but for what a rule changes.
func FuzzDecode(f *testing.F) {
	seeds, err := os.ReadFile("testdata/messages.ndjson") // the verbs and a worker are held against each other over them
	require.NoError(f, err)
	for seed := range bytes.Lines(seeds) {
		f.Add(bytes.TrimSuffix(seed, []byte("\n")))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		d := event.NewDecoder(event.DefaultRules())
		got, err := d.Decode(body)
		if err != nil {
			if strings.HasPrefix(err.Error(), event.ErrMalformed.Error()) {
				require.False(t, jsontext.Value(body).IsValid(), "sound JSON was called malformed: %v", err)
			}
			return
		}
		require.True(t, jsontext.Value(body).IsValid(), "broken JSON was accepted")
		require.NotEmpty(t, got.Events)
		if got.Secrets == 0 { // FuzzSecrets is about those
			for i, want := range originals(t, body) {
				requireSame(t, want, &got.Events[i])
			}
		}
		back, err := event.ParseEnvelope(got.Envelope.Marshal())
		require.NoError(t, err)
		require.Equal(t, got.Envelope, back)
	})
}

// originals are the events of a message as they arrived.
func originals(t *testing.T, body []byte) []json.RawMessage {
	t.Helper()
	var members map[string]json.RawMessage
	require.NoError(t, json.Unmarshal(body, &members))
	if !bytes.HasPrefix(members["data"], []byte("[")) {
		return []json.RawMessage{body}
	}
	var events []json.RawMessage
	require.NoError(t, json.Unmarshal(members["data"], &events))
	return events
}

// requireSame asserts that an event has the bytes it came with, or says what it
// should once the rules that change events are applied another way.
func requireSame(t *testing.T, original []byte, e *event.Event) {
	t.Helper()
	if bytes.Equal(bytes.TrimSpace(original), e.Raw) {
		return
	}
	want, coded := changedByRules(t, original, e)
	want = repairedAnotherWay(t, want, e)
	require.True(t, coded || e.ActionSource == event.BusinessMessaging || len(e.Repaired) > 0, "changed without a rule")
	require.JSONEq(t, want, string(e.Raw))
	again, err := event.NewDecoder(event.DefaultRules()).Decode(e.Raw)
	require.NoError(t, err)
	require.Equal(t, e.Raw, again.Events[0].Raw, "changed once is changed for good")
	require.Equal(t, e.Faults, again.Events[0].Faults)
	require.Equal(t, e.Warnings, again.Events[0].Warnings)
	require.Empty(t, again.Events[0].Repaired)
}

func changedByRules(t *testing.T, original []byte, e *event.Event) (changed string, coded bool) {
	t.Helper()
	var all map[string]json.RawMessage
	require.NoError(t, json.Unmarshal(original, &all))
	_, coded = all["test_event_code"]
	if !slices.ContainsFunc(e.Faults, func(f event.Fault) bool { return f.Pointer == "/test_event_code" }) {
		delete(all, "test_event_code")
	}
	if e.ActionSource != event.BusinessMessaging {
		text, err := json.Marshal(all)
		require.NoError(t, err)
		return string(text), coded
	}
	remove := func(from map[string]json.RawMessage, names ...string) {
		for _, name := range names {
			if string(from[name]) != "null" {
				delete(from, name)
			}
		}
	}
	remove(all, "event_source_url")
	var user map[string]json.RawMessage
	if json.Unmarshal(all["user_data"], &user) == nil && user != nil {
		remove(user, "client_ip_address", "client_user_agent", "fbc", "fbp")
		account, other := string(user["ig_account_id"]), user["instagram_business_account_id"]
		if e.Channel == event.Instagram && (account == "" || account == "null" || account == `""`) && e.Assets.Instagram != "" {
			user["ig_account_id"] = other
			delete(user, "instagram_business_account_id")
		}
		all["user_data"], _ = json.Marshal(user)
	}
	text, err := json.Marshal(all)
	require.NoError(t, err)
	return string(text), coded
}

// FuzzHash: personal data that is known to be such never comes out of the
// decoder in the clear, whatever surrounds it.
func FuzzHash(f *testing.F) {
	f.Add("em", "john_smith@gmail.com", `"fbc":"x"`)
	f.Add("fn", "Näme", ``)
	f.Add("ph", "020 7946 0958", `"country":"gb"`)
	f.Fuzz(func(t *testing.T, name, value, more string) {
		const secret = "hush-hush"
		text, err := json.Marshal(map[string]any{name: secret + value})
		require.NoError(t, err)
		if more != "" {
			more = "," + more
		}
		body := `{"event_name":"a","event_time":1,"action_source":"other","user_data":` + strings.TrimSuffix(string(text), "}") + more + `}}`
		got, err := hashing().Decode([]byte(body))
		if err != nil {
			require.NotContains(t, err.Error(), secret)
			require.NotContains(t, string(event.Mask([]byte(body))), secret)
			return
		}
		for _, e := range got.Events {
			require.True(t, jsontext.Value(e.Raw).IsValid())
			require.NotContains(t, event.MarshalFaults(e.Faults), secret)
			if slices.Contains(customer.Fields(), customer.Field(name)) {
				require.NotContains(t, string(e.Raw), secret)
			}
		}
	})
}
