package event_test

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/capi-dispatcher/capi-dispatcher/graph/event"
	"github.com/capi-dispatcher/capi-dispatcher/graph/graphtest"
)

// mutation is a change to a sample, and the only fault that it may make.
type mutation struct {
	path  string
	value any
	want  string
}

// mutations are changes to any sample: a member missing, of another type, not
// in its closed list, or out of range.
func mutations() []mutation {
	return []mutation{
		{"event_name", absent{}, "/event_name missing 2804019"},
		{"event_name", 1, "/event_name wrong_type"},
		{"event_name", "Lead", "/event_name unknown_value 2804066"},
		{"event_time", absent{}, "/event_time missing 2804019"},
		{"event_time", "today", "/event_time wrong_type"},
		{"event_time", -1.5, "/event_time wrong_type"},
		{"event_time", 1675999999000, "/event_time not_seconds 2804004"},
		{"action_source", absent{}, "/action_source missing 2804019"},
		{"action_source", true, "/action_source wrong_type"},
		{"action_source", "messaging", "/action_source unknown_value"},
		{"messaging_channel", absent{}, "/messaging_channel missing 2804063"},
		{"messaging_channel", 1, "/messaging_channel wrong_type 2804063"},
		{"messaging_channel", "sms", "/messaging_channel unknown_value 2804063"},
		{"user_data", absent{}, "/user_data missing 2804019"},
		{"user_data", list(), "/user_data wrong_type"},
		{"custom_data", "x", "/custom_data wrong_type"},
		{"custom_data.currency", absent{}, "/custom_data/currency missing 2804010"},
		{"custom_data.currency", 1, "/custom_data/currency wrong_type 2804016"},
		{"custom_data.currency", "Dollar", "/custom_data/currency unknown_value 2804016"},
		{"custom_data.value", absent{}, "/custom_data/value missing 2804009"},
		{"custom_data.value", "much", "/custom_data/value wrong_type 2804016"},
	}
}

// idMutations are changes to the ids of a channel.
func idMutations(channel string) []mutation {
	missing := map[string]map[string]string{
		"messenger": {"page_id": "2804069", "page_scoped_user_id": "2804019"},
		"whatsapp":  {"whatsapp_business_account_id": "2804116", "page_id": "", "ctwa_clid": "2804071"},
		"instagram": {"instagram_business_account_id": "2804079", "ig_account_id": "2804079", "ig_sid": "2804075"},
	}
	var all []mutation
	for id, subcode := range missing[channel] {
		pointer := "/user_data/" + strings.Replace(id, "instagram_business_account_id", "ig_account_id", 1)
		if id == "page_id" && channel == "whatsapp" {
			pointer, subcode = "/user_data/whatsapp_business_account_id", "2804116"
		}
		all = append(all, mutation{"user_data." + id, absent{}, pointer + " missing " + subcode})
	}
	return all
}

// Every sample of Meta's documents is sound, and a change to it makes its own
// fault and no other.
func TestSamplesAndTheirMutations(t *testing.T) {
	t.Parallel()
	for _, sample := range graphtest.Samples(time.Unix(at, 0)) {
		t.Run(sample.Name, func(t *testing.T) {
			t.Parallel()
			require.Empty(t, found(t, string(sample.Event)))
			require.Empty(t, found(t, string(sample.Body)))
			var sound object
			require.NoError(t, json.Unmarshal(sample.Event, &sound))
			channel := sound["messaging_channel"].(string)
			tried := 0
			for _, m := range append(mutations(), idMutations(channel)...) {
				if !has(sound, m.path) {
					continue
				}
				tried++
				require.Equal(t, []string{m.want}, found(t, sound.with(m.path, m.value).String()), "%s = %v", m.path, m.value)
			}
			require.Greater(t, tried, 20)
		})
	}
}

func has(o object, path string) bool {
	parent, name, nested := strings.Cut(path, ".")
	if !nested {
		return o[parent] != nil
	}
	inner, _ := o[parent].(map[string]any)
	return inner[name] != nil
}

// What Meta's SDKs send has no faults either.
func TestEventsOfMetasSDKsAreSound(t *testing.T) {
	t.Parallel()
	api := graphtest.New(graphtest.Config{AnyDataset: true, KeepEvents: true})
	var sent int
	for _, r := range graphtest.Recordings("token", "proof", time.Now()) {
		request := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/v26.0/1/events?"+r.Query, bytes.NewReader(r.Body))
		request.Header.Set("Content-Type", r.ContentType)
		api.ServeHTTP(httptest.NewRecorder(), request)
		sent += r.Events
	}
	accepted := api.Ledger().Entries()
	require.Len(t, accepted, sent)
	d := event.NewDecoder(event.DefaultRules())
	for _, entry := range accepted {
		got, err := d.Decode(entry.Raw)
		require.NoError(t, err)
		require.Empty(t, got.Events[0].Faults, "%s", entry.Raw)
		require.Equal(t, entry.Raw, json.RawMessage(got.Events[0].Raw), "unchanged")
	}
}
