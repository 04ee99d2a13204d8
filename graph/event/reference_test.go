package event_test

import (
	"encoding/json"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/capi-dispatcher/capi-dispatcher/graph/event"
	"github.com/capi-dispatcher/capi-dispatcher/graph/event/reference"
)

const lacking = `{"event_name":"LeadSubmitted","event_time":1675999999,"action_source":"business_messaging","messaging_channel":"whatsapp",` +
	`"user_data":{"whatsapp_business_account_id":"102"},"_capi":{"wa_id":"491701234567"}}`

func TestAReferenceIsTakenOut(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		capi string
		want *reference.Reference
	}{
		{`{"wa_id":"491701234567"}`, &reference.Reference{Phone: "491701234567"}},
		{`{"phone":" +49 170 1234567 "}`, &reference.Reference{Phone: "+49 170 1234567"}},
		{`{"wa_id":491701234567,"phone":"1"}`, &reference.Reference{Phone: "491701234567"}},
		{`{"user_id":"US.1","account":"102","conversation_id":"c-1","x":[1]}`, &reference.Reference{User: "US.1", Account: "102", Conversation: "c-1"}},
		{`{"aliases":["a","b"]}`, &reference.Reference{Aliases: []string{"a", "b"}}},
		{`{"account":"102"}`, &reference.Reference{Account: "102"}},
		{`{"wa_id":null}`, nil},
		{`null`, nil},
		{`[]`, nil},
		{`"491701234567"`, nil},
	} {
		for _, published := range []string{
			`{"_capi":` + tc.capi + `,"event_name":"Lead","event_time":1675999999,"action_source":"email","user_data":{"em":"x"}}`,
			`{"event_name":"Lead","event_time":1675999999,"action_source":"email","user_data":{"em":"x"}, "_capi" : ` + tc.capi + ` }`,
			`{"data":[{"event_name":"Lead","_capi":` + tc.capi + `,"event_time":1675999999,"action_source":"email","user_data":{"em":"x"}}]}`,
		} {
			request, err := event.NewDecoder(event.DefaultRules()).Decode([]byte(published))
			require.NoError(t, err)
			e := request.Events[0]
			require.Empty(t, e.Faults)
			require.Equal(t, tc.want, e.Reference, tc.capi)
			require.JSONEq(t, `{"event_name":"Lead","event_time":1675999999,"action_source":"email","user_data":{"em":"x"}}`, string(e.Raw))
			require.Contains(t, string(e.PublishedKey()), "_capi", "two people's events are two")
		}
	}
}

func TestAPersonIsFilledIn(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct{ channel, user, want string }{
		"none":         {"whatsapp", `{"whatsapp_business_account_id":"102"}`, `{"ctwa_clid":"A\"b","whatsapp_business_account_id":"102"}`},
		"empty":        {"whatsapp", `{"ctwa_clid":"","whatsapp_business_account_id":"102"}`, `{"ctwa_clid":"A\"b","whatsapp_business_account_id":"102"}`},
		"null":         {"whatsapp", `{"ctwa_clid":null,"whatsapp_business_account_id":"102"}`, `{"ctwa_clid":"A\"b","whatsapp_business_account_id":"102"}`},
		"given":        {"whatsapp", `{"ctwa_clid":"given","whatsapp_business_account_id":"102"}`, `{"ctwa_clid":"given","whatsapp_business_account_id":"102"}`},
		"no account":   {"whatsapp", `{ }`, `{"whatsapp_business_account_id":"103","ctwa_clid":"A\"b"}`},
		"a page":       {"whatsapp", `{"page_id":"7"}`, `{"page_id":"7","ctwa_clid":"A\"b"}`},
		"given, wrong": {"whatsapp", `{"ctwa_clid":[1],"whatsapp_business_account_id":"102"}`, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := event.NewDecoder(event.DefaultRules())
			published := messagingEvent(tc.channel, tc.user)
			request, err := d.Decode([]byte(published))
			require.NoError(t, err)
			e := request.Events[0]
			d.Complete(&e, `A"b`, event.Assets{WhatsApp: "103"})
			if tc.want == "" {
				require.NotEmpty(t, e.Faults)
				return
			}
			require.Empty(t, e.Faults)
			require.JSONEq(t, messagingEvent(tc.channel, tc.want), string(e.Raw))
			require.Equal(t, published, string(e.Published), "it is known as what was published")
			again, err := d.Decode([]byte(published))
			require.NoError(t, err)
			require.Equal(t, request.Events[0].Faults, again.Events[0].Faults, "it holds for that event only")
		})
	}
	d := event.NewDecoder(event.DefaultRules())
	for channel, want := range map[string]string{
		"messenger": `{"page_id":"106","page_scoped_user_id":"17"}`, "instagram": `{"ig_account_id":"106","ig_sid":"17"}`,
	} {
		request, err := d.Decode([]byte(messagingEvent(channel, `{}`)))
		require.NoError(t, err)
		e := request.Events[0]
		require.True(t, e.LacksPerson())
		d.Complete(&e, "17", event.Assets{Page: "106", Instagram: "106"})
		require.Empty(t, e.Faults)
		require.JSONEq(t, messagingEvent(channel, want), string(e.Raw))
	}
}

func TestOnlyWhatIsLackingIsLookedFor(t *testing.T) {
	t.Parallel()
	for raw, want := range map[string]bool{
		lacking: true,
		messagingEvent("whatsapp", `{"ctwa_clid":""}`):                                    true,
		messagingEvent("whatsapp", `{"ctwa_clid":"x","whatsapp_business_account_id":""}`): false,
		messagingEvent("whatsapp", `{"ctwa_clid":" "}`):                                   true,
		messagingEvent("whatsapp", `{"ctwa_clid":"<CLICK>"}`):                             false,
		messagingEvent("messenger", `{"page_id":"x"}`):                                    false,
		messagingEvent("fax", `{}`):                                                       false,
		messagingEvent("instagram", `{"ig_account_id":"1"}`):                              true,
		messagingEvent("whatsapp", `7`):                                                   false,
		`{"event_name":"Lead","action_source":"website","user_data":{}}`:                  false,
	} {
		require.Equal(t, want, decodeOne(t, event.DefaultRules(), raw).LacksPerson(), raw)
	}
}

func TestAChatIsLeft(t *testing.T) {
	t.Parallel()
	d := event.NewDecoder(event.DefaultRules())
	request, err := d.Decode([]byte(messagingEvent("whatsapp", `{"whatsapp_business_account_id":"102","ph":"`+johnHashed+`"}`)))
	require.NoError(t, err)
	e := request.Events[0]
	d.LeaveChat(&e)
	require.Empty(t, e.Faults)
	require.Equal(t, event.Chat, e.ActionSource)
	require.Empty(t, e.Channel)
	var sent map[string]any
	require.NoError(t, json.Unmarshal(e.Raw, &sent))
	require.NotContains(t, sent, "messaging_channel")
	require.Equal(t, "chat", sent["action_source"])
	require.Equal(t, map[string]any{"ph": johnHashed}, sent["user_data"])
	require.Equal(t, event.Assets{WhatsApp: "102"}, e.Assets)

	request, err = d.Decode([]byte(messagingEvent("whatsapp", `{"whatsapp_business_account_id":"102"}`)))
	require.NoError(t, err)
	d.LeaveChat(&request.Events[0])
	require.NotEmpty(t, request.Events[0].Faults, "it says nothing of the customer")
	require.NotEmpty(t, decodeOne(t, event.DefaultRules(), messagingEvent("whatsapp", `{"ph":"`+johnHashed+`"}`)).Faults, "others do not leave")
}

func TestPhones(t *testing.T) {
	t.Parallel()
	for user, want := range map[string][]string{
		`{"ph":"` + johnHashed + `"}`: {johnHashed},
		`{"ph":["1",2,null]}`:         {"1", "2", ""},
		`{"ph":[]}`:                   {},
		`{"ph":{}}`:                   nil,
		`{}`:                          nil,
		`7`:                           nil,
	} {
		require.Equal(t, want, decodeOne(t, event.DefaultRules(), messagingEvent("whatsapp", user)).Phones(), user)
	}
}

func TestAStoredEventKeepsItsAliases(t *testing.T) {
	t.Parallel()
	raw := decodeOne(t, event.DefaultRules(), lacking).Raw
	for _, raw := range [][]byte{raw, []byte("{ }"), []byte("{}")} {
		stored := reference.WithAliases(raw, []string{"a", "b"})
		require.True(t, json.Valid(stored), "%s", stored)
		back := decodeOne(t, event.DefaultRules(), string(stored))
		require.Equal(t, &reference.Reference{Aliases: []string{"a", "b"}}, back.Reference)
		require.JSONEq(t, string(raw), string(back.Raw))
	}
	require.True(t, slices.Equal(raw, reference.WithAliases(raw, nil)))
}
