package event_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/capi-dispatcher/capi-dispatcher/graph/event"
)

// found lists an event's faults as "pointer code".
func found(t *testing.T, body string) []string {
	t.Helper()
	var d event.Decoder
	got, err := d.Decode([]byte(body))
	require.NoError(t, err)
	require.Len(t, got.Events, 1)
	var faults []string
	for _, f := range got.Events[0].Faults {
		require.NotEmpty(t, f.Message)
		faults = append(faults, f.Pointer+" "+string(f.Code))
	}
	return faults
}

func TestFaults(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		body string
		want []string
	}{
		"all required members missing": {`{}`, []string{
			"/event_name missing", "/event_time missing", "/user_data missing", "/action_source missing",
		}},
		"null is missing": {`{"event_name":null,"event_time":1,"user_data":{},"action_source":"other"}`, []string{"/event_name missing"}},
		"wrong types, each said once": {`{"event_name":1,"event_time":"1","user_data":[],"action_source":{}}`, []string{
			"/event_name wrong_type", "/event_time wrong_type", "/user_data wrong_type", "/action_source wrong_type",
		}},
		"empty name":       {`{"event_name":"","event_time":1,"user_data":{},"action_source":"other"}`, []string{"/event_name empty"}},
		"fraction of time": {`{"event_name":"a","event_time":1.5,"user_data":{},"action_source":"other"}`, []string{"/event_time wrong_type"}},
		"exponent in time": {`{"event_name":"a","event_time":1e9,"user_data":{},"action_source":"other"}`, []string{"/event_time wrong_type"}},
		"negative time":    {`{"event_name":"a","event_time":-1,"user_data":{},"action_source":"other"}`, []string{"/event_time wrong_type"}},
		"absurd time":      {`{"event_name":"a","event_time":99999999999999999999,"user_data":{},"action_source":"other"}`, []string{"/event_time wrong_type"}},
		"milliseconds":     {`{"event_name":"a","event_time":1675999999000,"user_data":{},"action_source":"other"}`, []string{"/event_time not_seconds"}},
		"unknown source":   {`{"event_name":"a","event_time":1,"user_data":{},"action_source":"web"}`, []string{"/action_source unknown_value"}},
		"numeric event_id": {`{"event_name":"a","event_id":12,"event_time":1,"user_data":{},"action_source":"other"}`, nil},
		"event_id object":  {`{"event_name":"a","event_id":{},"event_time":1,"user_data":{},"action_source":"other"}`, []string{"/event_id wrong_type"}},
		"no channel":       {messaging(``, `{}`), []string{"/messaging_channel missing"}},
		"unknown channel":  {messaging(`telegram`, `{}`), []string{"/messaging_channel unknown_value"}},
		"messenger without ids": {messaging(`messenger`, `{}`), []string{
			"/user_data/page_id missing", "/user_data/page_scoped_user_id missing",
		}},
		"messenger with bad ids": {messaging(`messenger`, `{"page_id":1.5,"page_scoped_user_id":""}`), []string{
			"/user_data/page_id wrong_type", "/user_data/page_scoped_user_id empty",
		}},
		"messenger":                    {messaging(`messenger`, `{"page_id":1,"page_scoped_user_id":"2"}`), nil},
		"whatsapp without ids":         {messaging(`whatsapp`, `{}`), []string{"/user_data/ctwa_clid missing", "/user_data/whatsapp_business_account_id missing"}},
		"whatsapp with account":        {messaging(`whatsapp`, `{"ctwa_clid":"x","whatsapp_business_account_id":1}`), nil},
		"whatsapp with page":           {messaging(`whatsapp`, `{"ctwa_clid":"x","page_id":1}`), nil},
		"whatsapp click as number":     {messaging(`whatsapp`, `{"ctwa_clid":1,"page_id":1}`), []string{"/user_data/ctwa_clid wrong_type"}},
		"instagram without ids":        {messaging(`instagram`, `{}`), []string{"/user_data/ig_account_id missing", "/user_data/ig_sid missing"}},
		"instagram":                    {messaging(`instagram`, `{"ig_account_id":1,"ig_sid":2}`), nil},
		"instagram, the other id":      {messaging(`instagram`, `{"instagram_business_account_id":1,"ig_sid":2}`), nil},
		"escaped names are understood": {messaging(`instagram`, `{"ig_\u0061ccount_id":1,"ig_sid":2}`), nil},
		"not an object in a body":      {`{"data":[7]}`, []string{" wrong_type"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			require.Equal(t, tc.want, found(t, tc.body))
		})
	}
}

func messaging(channel, userData string) string {
	if channel != "" {
		channel = `,"messaging_channel":"` + channel + `"`
	}
	return `{"event_name":"Purchase","event_time":1675999999,"action_source":"business_messaging"` + channel + `,"user_data":` + userData + `}`
}

func TestEveryActionSourceIsKnown(t *testing.T) {
	t.Parallel()
	for _, source := range event.ActionSources() {
		if source != event.BusinessMessaging {
			require.Empty(t, found(t, `{"event_name":"a","event_time":1,"user_data":{},"action_source":"`+string(source)+`"}`), source)
		}
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
