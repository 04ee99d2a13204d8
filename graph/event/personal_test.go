package event_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/capi-dispatcher/capi-dispatcher/graph/event"
	"github.com/capi-dispatcher/capi-dispatcher/graph/event/customer"
)

const (
	johnHashed = "62a14e44f765419d10fea99367361a727c12365e2520f32218d505ed9aa0f62f" // john_smith@gmail.com
	maryHashed = "6915771be1c5aa0c886870b6951b03d7eafc121fea0e80a5ea83beb7c449f4ec" // mary
)

func hashing() *event.Decoder {
	rules := event.DefaultRules()
	rules.HashPersonalData = true
	return event.NewDecoder(rules)
}

// aboutCustomer is an event with a user_data of the caller's.
func aboutCustomer(userData string) string {
	return `{ "event_name" : "a", "user_data":` + userData + `,"event_time":1,"action_source":"other","x":[ 1e400 ]}`
}

func TestPersonalDataIsHashed(t *testing.T) {
	t.Parallel()
	phone := customer.Hash("442079460958")
	for name, tc := range map[string]struct {
		userData, want string
		faults         []string
	}{
		"in the clear": {`{"em":" John_Smith@gmail.com "}`, `{"em":"` + johnHashed + `"}`, nil},
		"a list, hashed in part": {
			`{ "em" : [ "John_Smith@gmail.com" , "` + johnHashed + `" ] }`, `{ "em" : [ "` + johnHashed + `" , "` + johnHashed + `" ] }`, nil,
		},
		"hashed in capitals":               {`{"em":"` + strings.ToUpper(johnHashed) + `"}`, `{"em":"` + johnHashed + `"}`, nil},
		"a number":                         {`{"ph":16505551212}`, `{"ph":"` + customer.Hash("16505551212") + `"}`, nil},
		"a number of the event's country":  {`{"ph":"020 7946 0958","country":"GB"}`, `{"ph":"` + phone + `","country":"` + customer.Hash("gb") + `"}`, nil},
		"the country may come first":       {`{"country":"gb","ph":"020 7946 0958"}`, `{"country":"` + customer.Hash("gb") + `","ph":"` + phone + `"}`, nil},
		"escapes are understood":           {`{"e\u006d":"John\u005fSmith@gmail.com"}`, `{"e\u006d":"` + johnHashed + `"}`, nil},
		"empty ones stay":                  {`{"ph":"","em":"John_Smith@gmail.com"}`, `{"ph":"","em":"` + johnHashed + `"}`, nil},
		"what is not personal stays":       {`{"external_id":"a","client_ip_address":"192.0.2.1"}`, `{"external_id":"` + customer.Hash("a") + `","client_ip_address":"192.0.2.1"}`, nil},
		"personal data of the wrong type":  {`{"em":{"home":"john@example.com"}}`, `{"em":"[redacted]"}`, []string{"/user_data/em wrong_type"}},
		"user_data of the wrong type":      {`"john@example.com"`, `"[redacted]"`, []string{"/user_data wrong_type"}},
		"user_data is a list":              {`[{"em":"john@example.com"}]`, `"[redacted]"`, []string{"/user_data wrong_type"}},
		"the same as a list of wrong type": {`{"em":[["john@example.com"]]}`, `{"em":["[redacted]"]}`, []string{"/user_data/em/0 wrong_type"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := hashing().Decode([]byte(aboutCustomer(tc.userData)))
			require.NoError(t, err)
			e := got.Events[0]
			require.Equal(t, aboutCustomer(tc.want), string(e.Raw))
			require.Equal(t, tc.faults, pointersAndCodes(e.Faults))
			for _, f := range e.Faults {
				require.NotContains(t, f.Message, "john")
			}
			again, err := hashing().Decode(e.Raw)
			require.NoError(t, err)
			if len(tc.faults) == 0 {
				require.Equal(t, e.Raw, again.Events[0].Raw, "hashed once is hashed for good")
			}
		})
	}
}

// Of what cannot be normalised no hash can be made: it is taken out and told of,
// and the event goes on with what is left.
func TestUnusablePersonalDataIsRemoved(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		userData, want  string
		removed, faults []string
	}{
		"a gender that Meta does not have": {`{"ge":"divers","ph":"16505551212"}`, `{"ph":"` + customer.Hash("16505551212") + `"}`, []string{"/user_data/ge"}, nil},
		"the last member":                  {`{"ph":16505551212, "em":"john at home" }`, `{"ph":"` + customer.Hash("16505551212") + `" }`, []string{"/user_data/em"}, nil},
		"one of a list": {
			`{"em":["john at home", "John_Smith@gmail.com"]}`, `{"em":[ "` + johnHashed + `"]}`, []string{"/user_data/em/*"}, nil,
		},
		"all of a list": {
			`{"em":["john at home","john"],"fn":["Mary","?"]}`,
			`{"em":[],"fn":["` + maryHashed + `"]}`,
			[]string{"/user_data/em/*", "/user_data/em/*", "/user_data/fn/*"},
			[]string{"/user_data insufficient"},
		},
		"all there is": {`{"em":"john at home"}`, `{}`, []string{"/user_data/em"}, []string{"/user_data insufficient"}},
		"what is left fits too many": {
			`{"em":"john at home","fn":"Mary"}`, `{"fn":"` + maryHashed + `"}`, []string{"/user_data/em"}, []string{"/user_data insufficient"},
		},
		"in the spelling of people": {
			`{"db":"16.02.1997","country":"Deutschland","ph":"0151 23456789"}`,
			`{"db":"` + customer.Hash("19970216") + `","country":"` + customer.Hash("de") + `","ph":"` + customer.Hash("4915123456789") + `"}`, nil, nil,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := hashing().Decode([]byte(aboutCustomer(tc.userData)))
			require.NoError(t, err)
			e := got.Events[0]
			require.Equal(t, aboutCustomer(tc.want), string(e.Raw))
			require.Equal(t, tc.removed, e.Removed)
			require.Equal(t, tc.faults, pointersAndCodes(e.Faults))
			again, err := hashing().Decode(e.Raw)
			require.NoError(t, err)
			require.Equal(t, e.Raw, again.Events[0].Raw)
			require.Equal(t, e.Faults, again.Events[0].Faults, "no less, now that it is gone")
		})
	}
}

func TestUnusablePersonalDataIsRefused(t *testing.T) {
	t.Parallel()
	rules := event.DefaultRules()
	rules.HashPersonalData, rules.UnusablePersonalData = true, event.Refuse
	for userData, want := range map[string][2]string{
		`{"em":"john at home","fn":"Mary"}`:              {`{"em":"[redacted]","fn":"` + maryHashed + `"}`, "/user_data/em not_normalizable"},
		`{"em":["john at home","John_Smith@gmail.com"]}`: {`{"em":["[redacted]","` + johnHashed + `"]}`, "/user_data/em/0 not_normalizable"},
	} {
		got, err := event.NewDecoder(rules).Decode([]byte(aboutCustomer(userData)))
		require.NoError(t, err)
		e := got.Events[0]
		require.Equal(t, aboutCustomer(want[0]), string(e.Raw))
		require.Equal(t, []string{want[1]}, pointersAndCodes(e.Faults))
		require.NotContains(t, e.Faults[0].Message, "john")
		require.Empty(t, e.Removed)
	}
}

func TestPersonalDataPassesThroughWithoutHashing(t *testing.T) {
	t.Parallel()
	body := aboutCustomer(`{"em":"John Smith","ph":[1]}`)
	got, err := event.NewDecoder(event.DefaultRules()).Decode([]byte(body))
	require.NoError(t, err)
	require.Equal(t, body, string(got.Events[0].Raw))
	require.Empty(t, got.Events[0].Faults)
}

func TestMembersThatMetaRefusesInChats(t *testing.T) {
	t.Parallel()
	extras := `{"event_name":"LeadSubmitted","event_time":1,"event_source_url":"https://a" , "action_source":"business_messaging","messaging_channel":"messenger",` +
		`"user_data":{"fbc":"c", "client_ip_address" : 7,"page_id":1,"page_scoped_user_id":2 ,"fbp":"p" , "client_user_agent":"u" }}`
	got, err := event.NewDecoder(event.DefaultRules()).Decode([]byte(extras))
	require.NoError(t, err)
	require.Equal(t, `{"event_name":"LeadSubmitted","event_time":1, "action_source":"business_messaging","messaging_channel":"messenger",`+
		`"user_data":{ "page_id":1,"page_scoped_user_id":2  }}`, string(got.Events[0].Raw))
	require.Empty(t, got.Events[0].Faults)
	require.Equal(t, []string{
		"/event_source_url", "/user_data/client_ip_address", "/user_data/client_user_agent", "/user_data/fbc", "/user_data/fbp",
	}, got.Events[0].Removed)

	rules := event.DefaultRules()
	rules.MessagingExtras = event.Refuse
	got, err = event.NewDecoder(rules).Decode([]byte(extras))
	require.NoError(t, err)
	require.Equal(t, extras, string(got.Events[0].Raw))
	require.Empty(t, got.Events[0].Removed)
	require.Equal(t, []string{
		"/user_data/client_ip_address wrong_type", "/event_source_url not_allowed", "/user_data/client_ip_address not_allowed",
		"/user_data/client_user_agent not_allowed", "/user_data/fbc not_allowed", "/user_data/fbp not_allowed",
	}, pointersAndCodes(got.Events[0].Faults))
}

func TestTheInstagramAccountIsSentAsTheLiveAPIWantsIt(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string][2]string{
		"one spelling":          {`"ig_account_id":17`, `"ig_account_id":17`},
		"the other":             {`"instagram_business_account_id":17`, `"ig_account_id":17`},
		"the other, escaped":    {`"instagram_business_account_i\u0064":17`, `"ig_account_id":17`},
		"both":                  {`"ig_account_id":17,"instagram_business_account_id":18`, `"ig_account_id":17,"instagram_business_account_id":18`},
		"one of them is null":   {`"ig_account_id":null,"instagram_business_account_id":17`, `"ig_account_id":17`},
		"one of them is empty":  {`"instagram_business_account_id":17, "ig_account_id":""`, `"ig_account_id":17`},
		"the other one is null": {`"ig_account_id":17,"instagram_business_account_id":null`, `"ig_account_id":17,"instagram_business_account_id":null`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			body := func(ids string) string {
				return `{"event_name":"LeadSubmitted","event_time":1,"action_source":"business_messaging","messaging_channel":"instagram","user_data":{"ig_sid":1,` + ids + `}}`
			}
			got, err := event.NewDecoder(event.DefaultRules()).Decode([]byte(body(tc[0])))
			require.NoError(t, err)
			require.Equal(t, body(tc[1]), string(got.Events[0].Raw))
			require.Empty(t, got.Events[0].Faults)
			require.Equal(t, "17", got.Events[0].Assets.Instagram)
		})
	}
}

func TestLikelyNames(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{
		"Lead": "LeadSubmitted", "lead_submitted": "LeadSubmitted", "purchase": "Purchase", "ViewItem": "ViewContent", "OrderCancelled": "OrderCanceled",
	} {
		got, err := event.NewDecoder(event.DefaultRules()).Decode([]byte(messengerChat().with("event_name", name).String()))
		require.NoError(t, err)
		require.Contains(t, got.Events[0].Faults[0].Message, "did you mean "+want+"?", name)
	}
}

func TestMask(t *testing.T) {
	t.Parallel()
	text := `{"event_name":"Purchase","user_data" : {"em":"john@example.com","näm":"Jürgen 7\n","x1":1.5,}` + "\xff"
	masked := string(event.Mask([]byte(text)))
	require.Len(t, masked, len(text), "offsets stay")
	require.Equal(t, `{"event_name":"xxxxxxxx","user_data" : {"em":"xxxx@xxxxxxx.xxx","xxxx":"xxxxxxx x\x","xx":x.x,}x`, masked)
}

func TestWhatIsNoEventIsMaskedWhenHashing(t *testing.T) {
	t.Parallel()
	got, err := hashing().Decode([]byte(`{"data":["john@example.com"]}`))
	require.NoError(t, err)
	require.Equal(t, `"xxxx@xxxxxxx.xxx"`, string(got.Events[0].Raw))
	got, err = hashing().Decode([]byte(`{"data":["john\b@example.com"]}`))
	require.NoError(t, err)
	require.Equal(t, `"[redacted]"`, string(got.Events[0].Raw), "masked, it would be no JSON")
}

func pointersAndCodes(faults []event.Fault) (texts []string) {
	for _, f := range faults {
		texts = append(texts, f.Pointer+" "+string(f.Code))
	}
	return texts
}
