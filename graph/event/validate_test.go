package event_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/capi-dispatcher/capi-dispatcher/graph/event"
)

func TestFaults(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		body string
		want []string
	}{
		"all required members missing": {`{}`, []string{
			"/event_name missing 2804019", "/event_time missing 2804019", "/user_data missing 2804019", "/action_source missing 2804019",
		}},
		"wrong types, each said once": {`{"event_name":1,"event_time":"now","user_data":[],"action_source":{}}`, []string{
			"/event_name wrong_type", "/event_time wrong_type", "/user_data wrong_type", "/action_source wrong_type",
		}},
		"absurd time":      {`{"event_name":"a","event_time":99999999999999999999,"user_data":{"em":"a"},"action_source":"other"}`, []string{"/event_time wrong_type"}},
		"exponent in time": {`{"event_name":"a","event_time":1e9,"user_data":{"em":"a"},"action_source":"other"}`, []string{"/event_time wrong_type"}},
		"escaped names are understood": {
			`{"event_name":"LeadSubmitted","event_time":1,"action_source":"business_messaging","messaging_channel":"instagram",` +
				`"user_data":{"ig_\u0061ccount_id":1,"ig_sid":2}}`, nil,
		},
		"not an object in a body": {`{"data":[7]}`, []string{" wrong_type"}},
		"white space in a list":   {`{"event_name":"a","event_time":1,"user_data":{"em":[ ],"ge":"f"},"action_source":"other","data_processing_options":[ ]}`, []string{"/user_data insufficient 2804050"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			require.Equal(t, tc.want, found(t, tc.body))
		})
	}
}

func TestCheckTime(t *testing.T) {
	t.Parallel()
	const week, store = 7 * 24 * time.Hour, 62 * 24 * time.Hour
	now := time.Unix(1_800_000_000, 0)
	for name, tc := range map[string]struct {
		age    time.Duration
		source event.ActionSource
		want   event.Code
	}{
		"just now":                        {0, event.BusinessMessaging, ""},
		"seven days":                      {week, event.BusinessMessaging, ""},
		"seven days and a second":         {week + time.Second, event.BusinessMessaging, event.TooOld},
		"sixty-two days, in a store":      {store, event.PhysicalStore, ""},
		"sixty-two days and a second":     {store + time.Second, event.PhysicalStore, event.TooOld},
		"the next second has not come":    {-time.Second, event.Website, event.InFuture},
		"eight days, from another source": {8 * 24 * time.Hour, event.Email, event.TooOld},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := event.Event{Time: now.Add(-tc.age), ActionSource: tc.source}
			fault := e.CheckTime(now)
			if tc.want == "" {
				require.Nil(t, fault)
				return
			}
			require.NotNil(t, fault)
			require.Equal(t, tc.want, fault.Code)
			require.Equal(t, "/event_time", fault.Pointer)
		})
	}
}

func TestFaultsAsOneLine(t *testing.T) {
	t.Parallel()
	faults := []event.Fault{{Pointer: "/a", Code: event.Missing, Message: "line\nbreak"}, {Pointer: "", Code: event.WrongType, Message: "x"}}
	line := event.MarshalFaults(faults)
	require.NotContains(t, line, "\n")
	var back []event.Fault
	require.NoError(t, json.Unmarshal([]byte(line), &back))
	require.Equal(t, faults, back)
}
