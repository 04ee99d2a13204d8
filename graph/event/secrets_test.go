package event_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/stretchr/testify/require"

	"github.com/capi-dispatcher/capi-dispatcher/graph/event"
	"github.com/capi-dispatcher/capi-dispatcher/graph/event/redact"
)

// leaked has the form of an access token, with not a character too many.
var leaked = "EAA" + strings.Repeat("Bx7", 25) + "ZD"

// tokens are secrets that are known.
type tokens []string

func (t tokens) Any() bool              { return len(t) > 0 }
func (t tokens) Holds(text []byte) bool { return slices.Contains(t, string(text)) }

const oddToken = "1234567890|an-app-token-of-ours"

func TestSecretsAreTakenOut(t *testing.T) {
	t.Parallel()
	start := `{"event_name":"a","event_time":1,"action_source":"other","user_data":{"external_id":"u"}`
	for name, tc := range map[string]struct {
		members, want string
		found         int
	}{
		"none":                      {`,"x": "EAA is no token" `, `,"x": "EAA is no token" `, 0},
		"too short for a token":     {`,"x":"` + leaked[:79] + `"`, `,"x":"` + leaked[:79] + `"`, 0},
		"the event's own member":    {`,"access_token":"short"`, ``, 1},
		"of any type":               {`, "access_token" : {"a":[1]} ,"appsecret_proof":null , "x":1`, `,  "x":1`, 2},
		"nested":                    {`,"custom_data":{"a":[{"appsecret_proof":"x","b":1}]}`, `,"custom_data":{"a":[{"b":1}]}`, 1},
		"the name is escaped":       {`,"access\u005ftoken":"short","x":1`, `,"x":1`, 1},
		"by its form":               {`,"x":{"note":"` + leaked + `"}`, `,"x":{"note":"[redacted]"}`, 1},
		"in a list":                 {`,"x":["` + leaked + `",1]`, `,"x":["[redacted]",1]`, 1},
		"the form is escaped":       {`,"x":"\u0045AA` + leaked[3:] + `"`, `,"x":"[redacted]"`, 1},
		"longer than it need be":    {`,"x":"(` + leaked + leaked + `)"`, `,"x":"([redacted])"`, 1},
		"in a link":                 {`,"event_source_url":"https:\/\/a\/?access_token=abc%7Cd&b=1"`, `,"event_source_url":"https://a/?access_token=[redacted]&b=1"`, 1},
		"in an encoded link":        {`,"x":"u=https%3A%2F%2Fa%3Faccess_token%3Dabc%26b"`, `,"x":"u=https%3A%2F%2Fa%3Faccess_token%3D[redacted]%26b"`, 1},
		"in JSON within a string":   {`,"x":"{\"access_token\" : \"abc\",\"b\":1}"`, `,"x":"{\"access_token\" : \"[redacted]\",\"b\":1}"`, 1},
		"escaped twice":             {`,"x":"{\"a\":\"\\u0045AA` + leaked[3:] + `\"}"`, `,"x":"{\"a\":\"[redacted]\"}"`, 1},
		"as the name of a member":   {`,"x":{"` + leaked + `":1,"y":2}`, `,"x":{"y":2}`, 1},
		"one of ours":               {`,"x":"` + oddToken + `"`, `,"x":"[redacted]"`, 1},
		"one of ours among words":   {`,"x":"Bearer ` + oddToken + `"`, `,"x":"Bearer [redacted]"`, 1},
		"talk of tokens":            {`,"x":"the access_token is in the header"`, `,"x":"the access_token is in the header"`, 0},
		"personal data beside it":   {`,"x":"\u00e9 \/","y":"` + leaked + `"`, `,"x":"\u00e9 \/","y":"[redacted]"`, 1},
		"all that is left is space": {`,"x":{ "access_token":"a" }`, `,"x":{ }`, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			message := []byte(start + tc.members + "}")
			before := bytes.Clone(message)
			d := event.NewDecoder(event.DefaultRules()).Withhold(tokens{oddToken})
			got, err := d.Decode(message)
			require.NoError(t, err)
			require.Equal(t, start+tc.want+"}", string(got.Events[0].Raw))
			require.Equal(t, tc.found, got.Secrets)
			require.Empty(t, got.Events[0].Faults)
			require.Equal(t, before, message, "the message itself is left as it is")

			got, err = d.Decode([]byte(`{"data":[{},` + string(message) + `],"partner_agent":"acme"}`))
			require.NoError(t, err)
			require.Equal(t, start+tc.want+"}", string(got.Events[1].Raw))
			require.Equal(t, tc.found, got.Secrets)
		})
	}
}

// What identifies events, people and clicks may look like anything.
func TestIdentifiersAreNeverTakenForSecrets(t *testing.T) {
	t.Parallel()
	for _, e := range []object{
		whatsAppChat().with("event_id", leaked).with("user_data.ctwa_clid", leaked).with("user_data.external_id", leaked),
		website().with("event_id", oddToken).with("user_data.fbc", "fb.1.1."+leaked).with("user_data.fbp", leaked).
			with("user_data.external_id", list("access_token=a", leaked)).with("original_event_data", object{"event_id": leaked}),
	} {
		for _, body := range []string{e.String(), `{"data":[{"x":"` + leaked + `"},` + e.String() + `]}`} {
			got, err := event.NewDecoder(event.DefaultRules()).Withhold(tokens{oddToken}).Decode([]byte(body))
			require.NoError(t, err)
			require.Equal(t, e.String(), string(got.Events[len(got.Events)-1].Raw))
			require.Empty(t, got.Events[len(got.Events)-1].Faults)
		}
	}
}

func TestSecretsBesideTheEvents(t *testing.T) {
	t.Parallel()
	body := `{"access_token":"a","appsecret_proof":"b","upload_tag":"` + leaked + `","progress":{"access_token":"c","done":1},` +
		`"partner_agent":"acme ` + leaked + `","data":[{}]}`
	got, err := event.NewDecoder(event.DefaultRules()).Decode([]byte(body))
	require.NoError(t, err)
	require.Equal(t, event.Envelope{PartnerAgent: "acme [redacted]", Extra: `{"upload_tag":"[redacted]","progress":{"done":1}}`}, got.Envelope)
	require.Equal(t, 5, got.Secrets)
	require.Zero(t, got.Dropped)
	envelope, err := event.ParseEnvelope(`{"upload_tag":"` + leaked + `"}`)
	require.NoError(t, err)
	require.Equal(t, `{"upload_tag":"[redacted]"}`, envelope.Extra, "what an earlier version has parked")
}

// Graph would take some of them for commands.
func TestOnlyDocumentedMembersGoBesideTheEvents(t *testing.T) {
	t.Parallel()
	documented := `"namespace_id":"n","upload_id":"1","upload_tag":"t","upload_source":"s","platforms":[{"a":1}],"progress":{"b":2},"trace":3`
	got, err := event.NewDecoder(event.DefaultRules()).Decode([]byte(`{"method":"delete","callback":"f","suppress_http_code":1,` +
		documented + `,"batch":"[]","data":[{}],"include_headers":false,"fields":"id","test_event_code":"T"}`))
	require.NoError(t, err)
	require.Equal(t, event.Envelope{TestEventCode: "T", Extra: "{" + documented + "}"}, got.Envelope)
	require.Equal(t, 6, got.Dropped)
}

func TestATestCodeInAnEventIsLifted(t *testing.T) {
	t.Parallel()
	got, err := event.NewDecoder(event.DefaultRules()).Decode([]byte(`{"data":[` + strings.Join([]string{
		other().with("test_event_code", "TEST1").String(), other().String(), other().with("test_event_code", 7).String(),
		other().with("test_event_code", nil).String(), other().with("test_event_code", "").String(),
	}, ",") + `],"test_event_code":"BESIDE"}`))
	require.NoError(t, err)
	require.Equal(t, "BESIDE", got.Envelope.TestEventCode)
	for i, want := range []string{"TEST1", "", "7", "", ""} {
		require.Equal(t, want, got.Events[i].TestEventCode)
		require.JSONEq(t, other().String(), string(got.Events[i].Raw))
		require.Empty(t, got.Events[i].Faults)
	}
}

// A text that cannot be read as events is shown to people as well.
func TestRedact(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		`{"event_name":"a"`:                                   `{"event_name":"a"`,
		`{"access_token":"short","data":[`:                    `{"access_token":"[redacted]","data":[`,
		`{"data":["` + leaked:                                 `{"data":["[redacted]`,
		`data=%5B%5D&access_token=abc.d-e%7Cf&method=post`:    `data=%5B%5D&access_token=[redacted]&method=post`,
		`body=%7B%22access_token%22%3A%22abc%22%2C%22data%22`: `body=%7B%22access_token%22%3A%22[redacted]%22%2C%22data%22`,
		`"{\"access_token\":\"abc\"}`:                         `"{\"access_token\":\"[redacted]\"}`,
		`{"a":"\u0045\u0041\u0041` + leaked[3:]:               `{"a":"[redacted]`,
		`"{\\\"x\\\":\\\"\\\\u0045AA` + leaked[3:] + `\\\"`:   `"{\\\"x\\\":\\\"[redacted]\\\"`,
		`access_token='` + oddToken + `' and ` + oddToken:     `access_token='[redacted]' and [redacted]`,
		"access_token: abc\r\nappsecret_proof=\tdef\r\nx: y":  "access_token: [redacted]\r\nappsecret_proof=\t[redacted]\r\nx: y",
		`access_token=`:                                       `access_token=`,
		`{"em":"\u0040"`:                                      `{"em":"\u0040"`,
		"\xff" + leaked + "\xfe":                              "\xff[redacted]\xfe",
	} {
		clean, found := redact.Text([]byte(text), tokens{oddToken})
		require.Equal(t, want, string(clean))
		require.Equal(t, text != want, found > 0, text)
	}
	require.True(t, redact.HoldsToken("a="+leaked))
	require.False(t, redact.HoldsToken("userId=alice"))
}

// What is flung at the worker must not cost it more than a look at every byte.
func TestRedactingTakesNoLongerThanReading(t *testing.T) {
	t.Parallel()
	const size = 1 << 20
	for _, unit := range []string{"EAA", "EAA ", "access_token", "access_token=", "appsecret_proof:\"a\"", leaked + " ", `\u0041`, `\u005cu005c`, `%`, `access_token%3D%`} {
		text := []byte(strings.Repeat(unit, size/len(unit)))
		clean, found := redact.Text(text, tokens{oddToken})
		if found == 0 {
			require.Equal(t, text, clean)
		}
		_, again := redact.Text(clean, tokens{oddToken})
		require.Zero(t, again, "taken out once is taken out for good: %q", unit)
	}
}

func TestAPlaceInBrokenJSONHoldsNoSecret(t *testing.T) {
	t.Parallel()
	_, err := event.NewDecoder(event.DefaultRules()).Decode([]byte(`{"` + leaked + `":{"a":tru}}`))
	require.ErrorIs(t, err, event.ErrMalformed)
	require.NotContains(t, err.Error(), leaked)
}

// FuzzSecrets: whatever is published, nothing with the form of a token comes out
// of the decoder but where identifiers are, and nothing at all of a message that
// cannot be read.
func FuzzSecrets(f *testing.F) {
	for _, seed := range []string{
		`{"access_token":"` + leaked + `","data":[` + messenger + `]}`, `[` + leaked, `{"x":{"y":["` + leaked + `"]}}`,
		`{"data":[{"event_id":"` + leaked + `"},{"user_data":{"em":"` + leaked + `","fbc":"` + leaked + `"}}]}`,
		`{"data":["\u0045AA` + leaked[3:] + `"],"upload_tag":"` + leaked + `"}`, `access_token%3D` + leaked, `{"` + leaked + `":{"a":tru}}`,
		`{"x":"{\"x\":\"\\u0045AA` + leaked[3:] + `\"}"}`, `{"data":{"0":{"event_id":"` + leaked + `"}}}`,
	} {
		f.Add([]byte(seed), uint16(7))
	}
	f.Add([]byte(`{"data":["\b0000"],"":"00"}`), uint16(76))
	f.Fuzz(func(t *testing.T, body []byte, at uint16) {
		place := int(at) % (len(body) + 1)
		body = append(append(bytes.Clone(body[:place]), leaked...), body[place:]...)
		for _, d := range []*event.Decoder{event.NewDecoder(event.DefaultRules()), hashing()} {
			got, err := d.Decode(body)
			clean, found := redact.Text(body, nil)
			require.NotRegexp(t, tokenForm, string(clean))
			require.Positive(t, found)
			if err != nil {
				require.NotRegexp(t, tokenForm, err.Error())
				continue
			}
			require.NotRegexp(t, tokenForm, got.Envelope.Marshal())
			for _, e := range got.Events {
				require.True(t, jsontext.Value(e.Raw).IsValid())
				require.NotRegexp(t, tokenForm, e.Name+" "+e.TestEventCode+" "+fmt.Sprint(e.Assets)+event.MarshalFaults(e.Faults))
				require.NotRegexp(t, tokenForm, withoutIdentifiers(t, e.Raw))
			}
		}
	})
}

var tokenForm = regexp.MustCompile(`EAA[A-Za-z0-9]{77}`)

// withoutIdentifiers is an event without the members that nothing is changed in.
func withoutIdentifiers(t *testing.T, raw []byte) string {
	t.Helper()
	var all any
	decoder := json.NewDecoder(bytes.NewReader(raw))
	decoder.UseNumber()
	require.NoError(t, decoder.Decode(&all))
	if e, ok := all.(map[string]any); ok {
		delete(e, "event_id")
		if user, ok := e["user_data"].(map[string]any); ok {
			for _, name := range []string{"ctwa_clid", "fbc", "fbp", "external_id"} {
				delete(user, name)
			}
		}
		if original, ok := e["original_event_data"].(map[string]any); ok {
			delete(original, "event_id")
		}
	}
	text, err := json.Marshal(all)
	require.NoError(t, err)
	return string(text)
}

func BenchmarkRedactNothing(b *testing.B) {
	for name, text := range map[string]string{"event": messenger, "body of 100": `{"data":[` + messenger + strings.Repeat(","+messenger, 99) + `]}`} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(text)))
			b.ReportAllocs()
			for b.Loop() {
				redact.Text([]byte(text), nil)
			}
		})
	}
}
