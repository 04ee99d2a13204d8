package event_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/capi-dispatcher/capi-dispatcher/graph/event"
)

const (
	messenger = `{"event_name":"Purchase","event_time":1675999999,"event_id":"order-1","action_source":"business_messaging",` +
		`"messaging_channel":"messenger","user_data":{"page_id":9007199254740993,"page_scoped_user_id":"18446744073709551617"},` +
		`"custom_data":{"currency":"USD","value":123.10},"x_unknown":{"deep":[1e400,"\u00e9"]}}`
	whatsApp = `{"event_name":"LeadSubmitted","event_time":1675999999,"action_source":"business_messaging",` +
		`"messaging_channel":"whatsapp","user_data":{"whatsapp_business_account_id":"102","ctwa_clid":"ARAkLk"}}`
	instagram = `{"event_name":"LeadSubmitted","event_time":1675999999,"action_source":"business_messaging",` +
		`"messaging_channel":"instagram","user_data":{"instagram_business_account_id":17,"ig_sid":1}}`
)

func TestDecodeSingleEvent(t *testing.T) {
	t.Parallel()
	d := event.NewDecoder(event.DefaultRules())
	got, err := d.Decode([]byte("  " + messenger + "\n"))
	require.NoError(t, err)
	require.Zero(t, got.Envelope)
	require.Len(t, got.Events, 1)
	e := got.Events[0]
	require.Empty(t, e.Faults)
	require.Equal(t, []byte(messenger), e.Raw, "the bytes are kept, white space around them is not")
	require.Equal(t, "Purchase", e.Name)
	require.Equal(t, "order-1", e.ID)
	require.Equal(t, time.Unix(1675999999, 0), e.Time)
	require.Equal(t, event.BusinessMessaging, e.ActionSource)
	require.Equal(t, event.Messenger, e.Channel)
	require.Equal(t, "9007199254740993", e.Assets.Page, "ids beyond 2^53 keep their digits")
}

func TestDecodeRequestBody(t *testing.T) {
	t.Parallel()
	body := `{"partner_agent":"acme", "data" : [ ` + messenger + ` ,` + whatsApp + "\n," + instagram + `],` +
		`"test_event_code":"TEST1","upload_tag":"spring \u2713","trace": 12345678901234567890,"access_token":"SECRET","namespace_id":null,"method":"x"}`
	d := event.NewDecoder(event.DefaultRules())
	got, err := d.Decode([]byte(body))
	require.NoError(t, err)
	require.Equal(t, event.Envelope{
		PartnerAgent: "acme", TestEventCode: "TEST1",
		Extra: `{"upload_tag":"spring \u2713","trace":12345678901234567890,"namespace_id":null}`,
	}, got.Envelope)
	require.Len(t, got.Events, 3)
	for i, want := range []string{messenger, whatsApp, strings.Replace(instagram, "instagram_business_account_id", "ig_account_id", 1)} {
		require.Equal(t, want, string(got.Events[i].Raw))
		require.Empty(t, got.Events[i].Faults)
	}
	require.Equal(t, event.Assets{WhatsApp: "102"}, got.Events[1].Assets)
	require.Equal(t, event.Assets{Instagram: "17"}, got.Events[2].Assets)
}

func TestDecoderIsReusable(t *testing.T) {
	t.Parallel()
	d := event.NewDecoder(event.DefaultRules())
	first, err := d.Decode([]byte(`{"data":[` + messenger + `],"partner_agent":"a"}`))
	require.NoError(t, err)
	_, err = d.Decode([]byte(`{`))
	require.ErrorIs(t, err, event.ErrMalformed)
	second, err := d.Decode([]byte(whatsApp))
	require.NoError(t, err)
	require.Zero(t, second.Envelope)
	require.Equal(t, "Purchase", first.Events[0].Name)
	require.Equal(t, "LeadSubmitted", second.Events[0].Name)
}

func TestDecodeMalformed(t *testing.T) {
	t.Parallel()
	for name, body := range map[string]string{
		"empty":                ``,
		"white space":          "  \n",
		"cut off":              `{"event_name":"Purch`,
		"two values":           whatsApp + whatsApp,
		"trailing garbage":     whatsApp + `x`,
		"comment":              `{"event_name":"Purchase" // why not` + "\n}",
		"trailing comma":       `{"event_name":"Purchase",}`,
		"NaN":                  `{"value":NaN}`,
		"leading zero":         `{"value":01}`,
		"control character":    "{\"event_name\":\"a\x01b\"}",
		"invalid UTF-8":        "{\"event_name\":\"\xff\"}",
		"lone surrogate":       `{"event_name":"\ud800"}`,
		"duplicate name":       `{"event_name":"a","event_name":"b"}`,
		"duplicate in a value": `{"custom_data":{"value":1,"value":2}}`,
		"absurd nesting":       `{"x":` + strings.Repeat("[", 20_000) + strings.Repeat("]", 20_000) + `}`,
		"bad event in a body":  `{"data":[` + whatsApp + `,{"event_name":}]}`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := event.NewDecoder(event.DefaultRules())
			_, err := d.Decode([]byte(body))
			require.ErrorIs(t, err, event.ErrMalformed)
		})
	}
}

func TestDecodeUnusableMessage(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		body, pointer string
		code          event.Code
	}{
		"array":               {`[` + whatsApp + `]`, "", event.WrongType},
		"string":              {`"Purchase"`, "", event.WrongType},
		"no events":           {`{"data":[]}`, "/data", event.Empty},
		"1001 events":         {`{"data":[{}` + strings.Repeat(",{}", 1000) + `]}`, "/data", event.TooManyEvents},
		"partner is a number": {`{"data":[{}],"partner_agent":7}`, "/partner_agent", event.WrongType},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := event.NewDecoder(event.DefaultRules())
			_, err := d.Decode([]byte(tc.body))
			var faults *event.FaultError
			require.ErrorAs(t, err, &faults)
			require.Len(t, faults.Faults, 1)
			require.Equal(t, tc.pointer, faults.Faults[0].Pointer)
			require.Equal(t, tc.code, faults.Faults[0].Code)
		})
	}
}

func TestThousandEventsAreFine(t *testing.T) {
	t.Parallel()
	d := event.NewDecoder(event.DefaultRules())
	got, err := d.Decode([]byte(`{"data":[` + whatsApp + strings.Repeat(","+whatsApp, event.MaxEvents-1) + `]}`))
	require.NoError(t, err)
	require.Len(t, got.Events, event.MaxEvents)
}

func TestEnvelopeRoundTrip(t *testing.T) {
	t.Parallel()
	for name, envelope := range map[string]event.Envelope{
		"nothing":    {},
		"test code":  {TestEventCode: "TEST1"},
		"everything": {TestEventCode: "T\n\"1", PartnerAgent: "ü", Extra: `{"upload_tag":"x","trace":12345678901234567890}`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			line := envelope.Marshal()
			require.NotContains(t, line, "\n", "it has to fit a header")
			got, err := event.ParseEnvelope(line)
			require.NoError(t, err)
			require.Equal(t, envelope, got)
		})
	}
}

func TestContentKey(t *testing.T) {
	t.Parallel()
	key := func(body string) string {
		d := event.NewDecoder(event.DefaultRules())
		got, err := d.Decode([]byte(body))
		require.NoError(t, err)
		before := string(got.Events[0].Raw)
		k := string(got.Events[0].ContentKey())
		require.Equal(t, before, string(got.Events[0].Raw), "the event itself is left alone")
		return k
	}
	require.Equal(t, key(`{"a":1,"b":{"d":2,"c":3}}`), key(`{ "b":{"c":3, "d":2},"a":1 }`))
	require.NotEqual(t, key(`{"id":9007199254740993}`), key(`{"id":9007199254740992}`))
	require.NotEqual(t, key(`{"a":[1,2]}`), key(`{"a":[2,1]}`))
}
