package webhook_test

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/attribution/webhook"
	"github.com/capi-dispatcher/capi-dispatcher/graph/event"
)

func whatsApp(values ...string) string {
	changes := make([]string, len(values))
	for i, value := range values {
		changes[i] = `{"field":"messages","value":` + value + `}`
	}
	return `{"object":"whatsapp_business_account","entry":[{"id":"102","changes":[` + strings.Join(changes, ",") + `]}]}`
}

func reduce(t *testing.T, body string) webhook.Reduced {
	t.Helper()
	r, err := webhook.Reduce([]byte(body))
	require.NoError(t, err)
	return r
}

func at(seconds int64) time.Time { return time.Unix(seconds, 0) }

// The vector was computed apart from this code.
func TestTheSignatureOfTheVector(t *testing.T) {
	t.Parallel()
	const secret, signature = "app-secret", "sha256=d3e4f9da0ce6c71ab3dba55929b8eeeee2455349e534924ead19f98d143e904f"
	body := []byte(`{"object":"whatsapp_business_account","entry":[]}`)
	require.True(t, webhook.Verify(signature, body, []string{secret}))
	require.True(t, webhook.Verify(signature, body, []string{"other", secret}), "secrets are rotated")
	require.Equal(t, signature, webhook.Sign(body, secret))
	for name, tc := range map[string]struct {
		signature string
		body      string
		secrets   []string
	}{
		"one flipped byte":  {signature, `{"object":"whatsapp_business_account","entry":[}]`, []string{secret}},
		"written otherwise": {signature, `{"object": "whatsapp_business_account", "entry": []}`, []string{secret}},
		"of SHA-1":          {"sha1=" + strings.Repeat("0", 40), string(body), []string{secret}},
		"another secret":    {signature, string(body), []string{"other"}},
		"no secret":         {signature, string(body), nil},
		"cut off":           {signature[:len(signature)-2], string(body), []string{secret}},
		"none":              {"", string(body), []string{secret}},
		"no hex":            {"sha256=xyz", string(body), []string{secret}},
	} {
		require.False(t, webhook.Verify(tc.signature, []byte(tc.body), tc.secrets), name)
	}
	require.True(t, webhook.Matches("token", "token"))
	require.False(t, webhook.Matches("token", "Token"))
}

// The sample of Meta's guide, as JSON and in the frame that the Cloud API gives it:
// the id and the number of the contact are not the same.
func TestTheSampleOfTheGuide(t *testing.T) {
	t.Parallel()
	sample, err := os.ReadFile("testdata/guide.json")
	require.NoError(t, err)
	require.Equal(t, webhook.Reduced{Updates: []webhook.Update{{
		Channel: event.WhatsApp, Account: "102290129340398", At: at(1678189586),
		Person: webhook.Person{Phones: []string{"12345678", "16315551234"}},
		Click:  "ARAkLkA8rmlFeiCktEJQ-QTwRiyYHAFDLMNDBH0CD3qpjd0HR4irJ6LEkR7JwFF4XvnO2E4Nx0-eM-GABDLOPaOdRMv-_zfUQ2a",
	}}}, reduce(t, string(sample)))
}

func TestWhatsApp(t *testing.T) {
	t.Parallel()
	const wrote = `"id":"wamid.1","timestamp":"1700000000","type":"text"`
	update := func(click string, phones, users []string) []webhook.Update {
		return []webhook.Update{{
			Channel: event.WhatsApp, Account: "102", At: at(1700000000), Click: click,
			Person: webhook.Person{Phones: phones, Users: users},
		}}
	}
	for name, tc := range map[string]struct {
		value string
		want  webhook.Reduced
	}{
		"a click":                             {`{"messages":[{"from":"491",` + wrote + `,"referral":{"ctwa_clid":"C","source_id":"9"}}]}`, webhook.Reduced{Updates: update("C", []string{"491"}, nil)}},
		"a Status ad has none":                {`{"messages":[{"from":"491",` + wrote + `,"referral":{"source_id":"9","source_type":"ad"}}]}`, webhook.Reduced{Ignored: 1}},
		"no ad":                               {`{"messages":[{"from":"491",` + wrote + `}]}`, webhook.Reduced{Ignored: 1}},
		"a click of nobody":                   {`{"messages":[{` + wrote + `,"referral":{"ctwa_clid":"C"}}]}`, webhook.Reduced{Ignored: 1}},
		"a user id only":                      {`{"messages":[{"from":"","from_user_id":"US.1",` + wrote + `,"referral":{"ctwa_clid":"C"}}]}`, webhook.Reduced{Updates: update("C", nil, []string{"US.1"})}},
		"two names of one":                    {`{"contacts":[{"wa_id":"491","user_id":"US.1","parent_user_id":"US.ENT.1"}],"messages":[{"from":"491",` + wrote + `}]}`, webhook.Reduced{Updates: update("", []string{"491"}, []string{"US.1", "US.ENT.1"})}},
		"contacts of others":                  {`{"contacts":[{"wa_id":"492","user_id":"US.2"},{"wa_id":"491","user_id":"US.1"}],"messages":[{"from":"491",` + wrote + `}]}`, webhook.Reduced{Updates: update("", []string{"491"}, []string{"US.1"})}},
		"a contact and two writers":           {`{"contacts":[{"wa_id":"493","user_id":"US.3"}],"messages":[{"from":"491",` + wrote + `},{"from":"492",` + wrote + `}]}`, webhook.Reduced{Ignored: 2}},
		"a broken contact":                    {`{"contacts":[7],"messages":[{"from":"491",` + wrote + `,"referral":{"ctwa_clid":"C"}}]}`, webhook.Reduced{Updates: update("C", []string{"491"}, nil)}},
		"a new number":                        {`{"messages":[{"from":"491","id":"x","timestamp":"1700000000","type":"system","system":{"type":"user_changed_number","wa_id":"492","user_id":"US.2","previous_user_id":"US.1"}}]}`, webhook.Reduced{Updates: update("", []string{"491", "492"}, []string{"US.2", "US.1"})}},
		"a new number, as older versions":     {`{"messages":[{"from":"491","id":"x","timestamp":"1700000000","type":"system","system":{"new_wa_id":492}}]}`, webhook.Reduced{Updates: update("", []string{"491", "492"}, nil)}},
		"a new user id":                       {`{"messages":[{"id":"x","timestamp":"1700000000","type":"system","system":{"type":"user_changed_user_id","user_id":"US.2","previous_user_id":"US.1"}}]}`, webhook.Reduced{Updates: update("", nil, []string{"US.2", "US.1"})}},
		"statuses":                            {`{"statuses":[{"id":"x"}]}`, webhook.Reduced{Ignored: 1}},
		"no object":                           {`[]`, webhook.Reduced{Malformed: 1}},
		"no time":                             {`{"messages":[{"from":"491","id":"x"}]}`, webhook.Reduced{Malformed: 1}},
		"a time that is none":                 {`{"messages":[{"from":"491","timestamp":"soon"}]}`, webhook.Reduced{Malformed: 1}},
		"a click that is none":                {`{"messages":[{"from":"491",` + wrote + `,"referral":{"ctwa_clid":7}}]}`, webhook.Reduced{Malformed: 1}},
		"the neighbours of a malformed one":   {`{"messages":[{"from":[]},{"from":"491",` + wrote + `,"referral":{"ctwa_clid":"C"}}]}`, webhook.Reduced{Updates: update("C", []string{"491"}, nil), Malformed: 1}},
		"a number where a string is expected": {`{"messages":[{"from":491,"id":1,"timestamp":1700000000,"referral":{"ctwa_clid":"C"}}]}`, webhook.Reduced{Updates: update("C", []string{"491"}, nil)}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			require.Equal(t, tc.want, reduce(t, whatsApp(tc.value)))
		})
	}
}

func TestAutomaticEvents(t *testing.T) {
	t.Parallel()
	body := `{"object":"whatsapp_business_account","entry":[{"id":"102","changes":[{"field":"automatic_events","value":{"automatic_events":[` +
		`{"id":"wamid.1","event_name":"Purchase","timestamp":1739321024,"ctwa_clid":"C","custom_data":{"currency":"USD","value":25000}},` +
		`{"id":"wamid.2","event_name":"LeadSubmitted","timestamp":1739321024},{"event_name":"LeadSubmitted","timestamp":1739321024}]}}]}]}`
	require.Equal(t, webhook.Reduced{Malformed: 1, Updates: []webhook.Update{
		{Channel: event.WhatsApp, Account: "102", At: at(1739321024), Click: "C", Detected: &webhook.Detected{ID: "wamid.1", Name: "Purchase", Currency: "USD", Value: "25000"}},
		{Channel: event.WhatsApp, Account: "102", At: at(1739321024), Detected: &webhook.Detected{ID: "wamid.2", Name: "LeadSubmitted"}},
	}}, reduce(t, body))
}

func TestMessengerAndInstagram(t *testing.T) {
	t.Parallel()
	body := func(object, inside string) string {
		return `{"object":"` + object + `","entry":[{"id":"106","time":1,` + inside + `}]}`
	}
	one := func(channel event.Channel, when time.Time) webhook.Reduced {
		return webhook.Reduced{Updates: []webhook.Update{{Channel: channel, Account: "106", At: when, Person: webhook.Person{Users: []string{"17"}}}}}
	}
	const people = `"sender":{"id":"17"},"recipient":{"id":"106"},`
	for name, tc := range map[string]struct {
		body string
		want webhook.Reduced
	}{
		"a message":                     {body("page", `"messaging":[{`+people+`"timestamp":1700000000123,"message":{"mid":"m","text":"hi"}}]`), one(event.Messenger, time.UnixMilli(1700000000123))},
		"a button, in a new thread":     {body("page", `"messaging":[{`+people+`"timestamp":1700000000123,"postback":{"referral":{"ref":"r","source":"ADS"}}}]`), one(event.Messenger, time.UnixMilli(1700000000123))},
		"an ad, in a thread":            {body("page", `"messaging":[{`+people+`"timestamp":1700000000,"referral":{"ad_id":"9","source":"ADS"}}]`), one(event.Messenger, at(1700000000))},
		"an echo":                       {body("page", `"messaging":[{"sender":{"id":"106"},"recipient":{"id":"17"},"timestamp":1,"message":{"is_echo":true}}]`), webhook.Reduced{Ignored: 1}},
		"read":                          {body("page", `"messaging":[{`+people+`"timestamp":1,"read":{"watermark":1}}]`), webhook.Reduced{Ignored: 1}},
		"another app has the thread":    {body("page", `"standby":[{`+people+`"timestamp":1,"message":{"mid":"m"}}]`), webhook.Reduced{}},
		"a feed":                        {body("page", `"changes":[{"field":"feed","value":{}}]`), webhook.Reduced{Ignored: 1}},
		"nobody":                        {body("page", `"messaging":[{"timestamp":1,"message":{"mid":"m"}}]`), webhook.Reduced{Malformed: 1}},
		"Instagram":                     {body("instagram", `"messaging":[{`+people+`"timestamp":1700000000123,"message":{"mid":"m"}}]`), one(event.Instagram, time.UnixMilli(1700000000123))},
		"Instagram, as a change":        {body("instagram", `"changes":[{"field":"messages","value":{`+people+`"timestamp":"1700000000","message":{"mid":"m"}}}]`), one(event.Instagram, at(1700000000))},
		"Instagram, a change of others": {body("instagram", `"changes":[{"field":"comments","value":{}}]`), webhook.Reduced{Ignored: 1}},
		"ids as numbers":                {body("instagram", `"messaging":[{"sender":{"id":17},"recipient":{"id":106},"timestamp":"1700000000","message":{}}]`), one(event.Instagram, at(1700000000))},
		"another object":                {body("permissions", `"changes":[{}]`), webhook.Reduced{Ignored: 1}},
		"no id of an account":           {`{"object":"page","entry":[{"id":"a.>","messaging":[]},7]}`, webhook.Reduced{Malformed: 2}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			require.Equal(t, tc.want, reduce(t, tc.body))
		})
	}
}

func TestRecords(t *testing.T) {
	t.Parallel()
	require.Equal(t, webhook.Reduced{Updates: []webhook.Update{
		{
			Channel: event.WhatsApp, Account: "102", At: at(1700000000), Click: "C",
			Person: webhook.Person{Phones: []string{"491701234567"}, Users: []string{"US.1"}, Conversation: "c-1"},
		},
		{Channel: event.Messenger, Account: "106", At: at(1700000000), Person: webhook.Person{Users: []string{"17"}, Conversation: "c-2"}},
	}, Malformed: 1}, reduce(t, `[{"channel":"whatsapp","account":"102","phone":"+49 170 1234567","wa_id":"491701234567","user_id":"US.1","conversation_id":"c-1","ctwa_clid":"C","at":1700000000},`+
		`{"channel":"messenger","account":106,"user_id":17,"conversation_id":"c-2","at":"1700000000"},{"channel":"fax","account":"1","at":1}]`))
	for _, body := range []string{``, `x`, `[]`, `{}`, `7`, `null`, `{"channel":"whatsapp"}`, `{"channel":"whatsapp","account":"1.>","at":1}`} {
		_, err := webhook.Reduce([]byte(body))
		require.ErrorIs(t, err, webhook.ErrUnreadable, body)
	}
}

// Meta packs up to a thousand updates into a body.
func TestOneOfAThousandIsMalformed(t *testing.T) {
	t.Parallel()
	values := make([]string, 1000)
	for i := range values {
		values[i] = fmt.Sprintf(`{"messages":[{"from":"49%d","timestamp":"1700000000","referral":{"ctwa_clid":"C%d"}}]}`, i, i)
	}
	values[500] = `{"messages":[{"from":{},"timestamp":"1700000000"}]}`
	r := reduce(t, whatsApp(values...))
	require.Len(t, r.Updates, 999)
	require.Equal(t, 1, r.Malformed)
}

func FuzzReduce(f *testing.F) {
	sample, err := os.ReadFile("testdata/guide.json")
	require.NoError(f, err)
	f.Add(sample)
	f.Add([]byte(whatsApp(`{"contacts":[{"wa_id":"1","user_id":"US.1"}],"messages":[{"from":"1","timestamp":1,"system":{"wa_id":"2"}}]}`)))
	f.Add([]byte(`{"object":"page","entry":[{"id":"1","messaging":[{"sender":{"id":"2"},"timestamp":"1","postback":{}}]}]}`))
	f.Add([]byte(`{"object":"instagram","entry":[{"id":"1","changes":[{"field":"messages","value":{"sender":{"id":"2"},"timestamp":"1","message":{}}}]}]}`))
	f.Add([]byte(`[{"channel":"whatsapp","account":"102","phone":"+49 170","at":1,"ctwa_clid":"C"}]`))
	f.Fuzz(func(t *testing.T, body []byte) {
		r, err := webhook.Reduce(body)
		if err != nil {
			require.Empty(t, r)
			return
		}
		for _, u := range r.Updates {
			require.Regexp(t, `^[0-9]{1,32}$`, u.Account, "it is a word of a subject")
			require.NotEmpty(t, u.Channel.PersonMember())
			require.False(t, u.At.IsZero())
			for _, phone := range u.Person.Phones {
				require.Regexp(t, `^[0-9]+$`, phone)
			}
			require.True(t, u.Detected != nil || len(u.Person.Phones)+len(u.Person.Users) > 0 || u.Person.Conversation != "")
		}
	})
}
