package event_test

import (
	"encoding/json"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/capi-dispatcher/capi-dispatcher/graph/event"
)

// repairTries are members as producers write them, and as they are sent.
func repairTries() map[string]map[string]string {
	ids := map[string]string{`" 1061 "`: `"1061"`, `"1061\n"`: `"1061"`, `"\t"`: `""`}
	seconds := map[string]string{
		`"1795499232"`: `1795499232`, `" 1795499232 "`: `1795499232`, `1795499232.0`: `1795499232`, `1795499232.999`: `1795499232`, `"1795499232.999"`: `1795499232`,
		`"2026-11-24T05:47:12Z"`: `1795499232`, `"2026-11-24T05:47:12.999Z"`: `1795499232`, `"2026-11-24T06:47:12+01:00"`: `1795499232`,
		`"2026-11-24T06:47:12+0100"`: `1795499232`, `"2026-11-24T05:47Z"`: `1795499220`,
	}
	return map[string]map[string]string{
		"/event_time":                              seconds,
		"/original_event_data/event_time":          seconds,
		"/opt_out":                                 {`"true"`: `true`, `"False"`: `false`},
		"/data_processing_options_country":         {`"1"`: `1`, `"0"`: `0`, `1.0`: `1`},
		"/data_processing_options_state":           {`"1000"`: `1000`, `" 0 "`: `0`},
		"/custom_data/contents/*/quantity":         {`"2"`: `2`, `2.0`: `2`, `"-1"`: `-1`},
		"/app_data/extinfo/*":                      {`13.10`: `"13.10"`, `2`: `"2"`},
		"/user_data/page_id":                       ids,
		"/user_data/page_scoped_user_id":           ids,
		"/user_data/ig_account_id":                 ids,
		"/user_data/ig_sid":                        ids,
		"/user_data/whatsapp_business_account_id":  ids,
		"/user_data/instagram_business_account_id": ids,
	}
}

// around is an event with a value at one of the places that are repaired.
func around(pointer, value string) string {
	switch pointer {
	case "/custom_data/contents/*/quantity":
		return `{"event_name":"a","custom_data":{"contents":[{ "quantity" : ` + value + ` }]}}`
	case "/app_data/extinfo/*":
		return `{"event_name":"a","app_data":{"extinfo":["i2","",7,"",` + value + `,"","","","",320,568,"2",2,"",8,""]}}`
	}
	steps := strings.Split(pointer[1:], "/")
	for _, step := range slices.Backward(steps) {
		value = `{"` + step + `": ` + value + ` }`
	}
	return value
}

// What loses nothing and guesses nothing is brought into Meta's form; all other
// bytes stay.
func TestRepairs(t *testing.T) {
	t.Parallel()
	tries := repairTries()
	for _, pointer := range event.Repairs() {
		if pointer == "/action_source" {
			continue // TestTheDefaultActionSource
		}
		require.NotEmpty(t, tries[pointer], pointer)
		for value, want := range tries[pointer] {
			got, err := event.NewDecoder(event.DefaultRules()).Decode([]byte(around(pointer, value)))
			require.NoError(t, err)
			e := got.Events[0]
			require.Equal(t, around(pointer, want), string(e.Raw), value)
			require.Equal(t, []string{pointer}, e.Repaired)
			require.NotContains(t, pointersAndCodes(e.Faults), pointer+" wrong_type")
			again, err := event.NewDecoder(event.DefaultRules()).Decode(e.Raw)
			require.NoError(t, err)
			require.Equal(t, e.Raw, again.Events[0].Raw)
			require.Empty(t, again.Events[0].Repaired, "once is for good")
		}
	}
}

// Whatever could mean something else stays as it is, and is a fault.
func TestNothingIsGuessed(t *testing.T) {
	t.Parallel()
	for pointer, values := range map[string][]string{
		"/event_time": {
			`"2026-11-24T05:47:12"`, `"2026-11-24"`, `"24.11.2026"`, `1.795499232e9`, `"1e9"`, `-1`, `"-1"`, `""`, `"01795499232"`, `true`, `"17954992_32"`,
			`"1969-12-31T23:59:59Z"`, `"2026-02-30T00:00:00Z"`, `"1795499232."`, `"1795499232.x"`,
		},
		"/opt_out":                         {`"yes"`, `1`, `"1"`, `""`},
		"/data_processing_options_country": {`"2"`, `"US"`, `0.5`, `"01"`},
		"/data_processing_options_state":   {`"CA"`, `1`},
		"/custom_data/contents/*/quantity": {`"two"`, `2.5`, `"2,0"`, `"02"`, `""`, `"2."`},
		"/app_data/extinfo/*":              {`true`, `[]`},
	} {
		for _, value := range values {
			body := around(pointer, value)
			got, err := event.NewDecoder(event.DefaultRules()).Decode([]byte(body))
			require.NoError(t, err)
			require.Equal(t, body, string(got.Events[0].Raw), value)
			require.Empty(t, got.Events[0].Repaired)
			require.Regexp(t, strings.ReplaceAll(regexp.QuoteMeta(pointer), `\*`, `\d`)+" (wrong_type|unknown_value)",
				strings.Join(pointersAndCodes(got.Events[0].Faults), "\n"), value)
		}
	}
}

// What is repaired is what the rest of the dispatcher goes by.
func TestRepairedValuesCount(t *testing.T) {
	t.Parallel()
	e := decodeOne(t, event.DefaultRules(), messengerChat().with("event_time", "2023-02-10T04:33:19.9+01:00").with("user_data.page_id", " 1061 ").String())
	require.Empty(t, e.Faults)
	require.Equal(t, time.Unix(at, 0), e.Time)
	require.Equal(t, "1061", e.Assets.Page)
	require.ElementsMatch(t, []string{"/event_time", "/user_data/page_id"}, e.Repaired)
}

// The account's id under the name that the live API wants, and trimmed.
func TestARepairedMemberMayBeRenamed(t *testing.T) {
	t.Parallel()
	e := decodeOne(t, event.DefaultRules(), `{"event_name":"LeadSubmitted","event_time":1,"action_source":"business_messaging","messaging_channel":"instagram",`+
		`"user_data":{"ig_account_id":" ","instagram_business_account_id":" 17","ig_sid":8}}`)
	require.Empty(t, e.Faults)
	require.Equal(t, `{"event_name":"LeadSubmitted","event_time":1,"action_source":"business_messaging","messaging_channel":"instagram",`+
		`"user_data":{"ig_account_id":"17","ig_sid":8}}`, string(e.Raw))
	require.Equal(t, "17", e.Assets.Instagram)
}

func decodeOne(t *testing.T, rules event.Rules, body string) *event.Event {
	t.Helper()
	got, err := event.NewDecoder(rules).Decode([]byte(body))
	require.NoError(t, err)
	require.Len(t, got.Events, 1)
	return &got.Events[0]
}

// The content that tells events apart is what was published.
func TestTheContentIsThatWhichWasPublished(t *testing.T) {
	t.Parallel()
	rules := event.DefaultRules()
	rules.HashPersonalData, rules.DefaultActionSource = true, event.Other
	plain := event.DefaultRules()
	for _, body := range []string{
		other().with("event_time", "1675999999").String(), other().with("action_source", absent{}).String(),
		other().with("user_data.em", "john@example.com").String(), messengerChat().with("user_data.fbp", "x").String(), other().String(),
	} {
		changed, asItIs := decodeOne(t, rules, body), decodeOne(t, plain, body)
		require.NotEqual(t, body, string(changed.Raw))
		unchanged := asItIs.PublishedKey()
		if unchanged == nil {
			unchanged = asItIs.ContentKey()
		}
		require.Equal(t, string(unchanged), string(changed.PublishedKey()), body)
		require.JSONEq(t, body, string(changed.PublishedKey()))
		require.Equal(t, len(changed.Raw), changed.Copied())
	}
}

func TestTheDefaultActionSource(t *testing.T) {
	t.Parallel()
	rules := event.DefaultRules()
	rules.DefaultActionSource = event.Website
	for body, want := range map[string]string{
		`{"event_name":"a"}`:                         `{"action_source":"website","event_name":"a"}`,
		`{ "event_name":"a" }`:                       `{"action_source":"website", "event_name":"a" }`,
		`{"action_source" : null ,"event_name":"a"}`: `{"action_source" : "website" ,"event_name":"a"}`,
		`{ }`:                     `{"action_source":"website" }`,
		`{"test_event_code":"T"}`: `{"action_source":"website"}`,
		`{"action_source":"email","event_name":"a"}`: `{"action_source":"email","event_name":"a"}`,
		`{"action_source":"","event_name":"a"}`:      `{"action_source":"","event_name":"a"}`,
		`{"action_source":"web","event_name":"a"}`:   `{"action_source":"web","event_name":"a"}`,
	} {
		e := decodeOne(t, rules, body)
		require.Equal(t, want, string(e.Raw))
		filled := !strings.Contains(body, `"action_source":"`)
		require.Equal(t, filled, slices.Contains(e.Repaired, "/action_source"), body)
		require.Equal(t, filled, e.ActionSource == event.Website)
		require.Equal(t, filled, slices.Contains(pointersAndCodes(e.Faults), "/event_source_url missing"), "it is what it is said to be")
		require.Equal(t, e.Raw, decodeOne(t, rules, string(e.Raw)).Raw)
	}
	require.Empty(t, decodeOne(t, event.DefaultRules(), `{}`).Repaired, "it is off by default")
}

// Every repair of the documentation is one, and no other.
func TestEveryRepairIsDocumented(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../docs/events.md")
	require.NoError(t, err)
	_, section, _ := strings.Cut(string(text), "### Repairs\n")
	section, _, _ = strings.Cut(section, "\n#")
	var documented []string
	for _, row := range regexp.MustCompile("(?m)^\\| (`/.*?`) \\|").FindAllStringSubmatch(section, -1) {
		for pointer := range strings.SplitSeq(row[1], ", ") {
			documented = append(documented, strings.Trim(pointer, "`"))
		}
	}
	require.ElementsMatch(t, event.Repairs(), documented)
}

// repairedAnotherWay makes in an event the changes that are said to be repairs,
// if they keep what the producer wrote.
func repairedAnotherWay(t *testing.T, original string, e *event.Event) string {
	t.Helper()
	decode := func(text string) (value any) {
		decoder := json.NewDecoder(strings.NewReader(text))
		decoder.UseNumber()
		require.NoError(t, decoder.Decode(&value))
		return value
	}
	text, err := json.Marshal(repairedTree(t, decode(original), decode(string(e.Raw)), "", e.Repaired))
	require.NoError(t, err)
	return string(text)
}

func repairedTree(t *testing.T, was, is any, pointer string, repaired []string) any {
	t.Helper()
	switch was := was.(type) {
	case map[string]any:
		for name, inner := range was {
			if now, ok := is.(map[string]any); ok && now[name] != nil {
				was[name] = repairedTree(t, inner, now[name], pointer+"/"+name, repaired)
			}
		}
	case []any:
		for i, inner := range was {
			if now, ok := is.([]any); ok && len(now) == len(was) {
				was[i] = repairedTree(t, inner, now[i], pointer+"/*", repaired)
			}
		}
	default:
		renamed := strings.Replace(pointer, "ig_account_id", "instagram_business_account_id", 1)
		if was != is && (slices.Contains(repaired, pointer) || slices.Contains(repaired, renamed)) {
			require.True(t, saysTheSame(was, is), "%s: %v is not %v", pointer, was, is)
			return is
		}
	}
	return was
}

// saysTheSame reads times and numbers for itself.
func saysTheSame(was, is any) bool {
	spelled := func(value any) string {
		switch value := value.(type) {
		case string:
			return strings.ToLower(strings.TrimSpace(value))
		case json.Number:
			return value.String()
		case bool:
			return strconv.FormatBool(value)
		default:
			return ""
		}
	}
	before, after := spelled(was), spelled(is)
	if before == after || strings.HasPrefix(before, after+".") {
		return true
	}
	seconds, err := strconv.ParseInt(after, 10, 64)
	when, offset := before[:max(0, strings.LastIndexAny(before, "z+-"))], before[max(0, strings.LastIndexAny(before, "z+-")):]
	when, _, _ = strings.Cut(strings.ReplaceAll(when, ",", "."), ".")
	if strings.Count(when, ":") == 1 {
		when += ":00"
	}
	for _, zone := range []string{"z07:00", "z0700", "z07"} {
		if at, timeErr := time.Parse("2006-01-02T15:04:05"+strings.ToUpper(zone), strings.ToUpper(when+offset)); timeErr == nil {
			return err == nil && at.Unix() == seconds
		}
	}
	return false
}
