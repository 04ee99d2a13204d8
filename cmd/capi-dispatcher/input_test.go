package main

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/capi-dispatcher/capi-dispatcher/config"
)

func good(id string) string {
	return fmt.Sprintf(`{"event_name":"Purchase","event_id":%q,"event_time":%d,"action_source":"other",`+
		`"user_data":{"external_id":"7"},"custom_data":{"value":1,"currency":"EUR"}}`, id, time.Now().Unix())
}

// read lists the records of an input as "place ok" or "place error".
func read(t *testing.T, input string) (got []string) {
	t.Helper()
	checker := newChecker(new(config.Default()), "")
	for r := range readRecords(strings.NewReader(input), checker.decoder) {
		if faults := checker.faults(&r); len(faults) > 0 {
			got = append(got, faults[0])
		} else {
			got = append(got, r.place+" ok")
		}
	}
	return got
}

func TestInputs(t *testing.T) {
	t.Parallel()
	pretty := strings.ReplaceAll(strings.ReplaceAll(good("p"), ",", ",\n  "), "{", "{\n  ")
	for name, tc := range map[string]struct {
		input string
		want  []string
	}{
		"nothing":                  {"", nil},
		"blank lines":              {"\n \n", nil},
		"a byte order mark":        {"\xef\xbb\xbf" + good("a") + "\n" + good("b"), []string{"line 1 ok", "line 2 ok"}},
		"only a byte order mark":   {"\xef\xbb\xbf", nil},
		"UTF-16":                   {"\xff\xfe{\x00}\x00", []string{"line 1: the text is UTF-16; save it as UTF-8"}},
		"one event":                {good("a"), []string{"line 1 ok"}},
		"lines":                    {good("a") + "\n\n" + good("b") + "\r\n", []string{"line 1 ok", "line 3 ok"}},
		"a request body a line":    {`{"data":[` + good("a") + `,` + good("b") + `]}`, []string{"line 1 ok"}},
		"a bad line among good":    {good("a") + "\n{\"x\"\n" + good("b"), []string{"line 1 ok", "line 2: malformed JSON: at offset 4, in \"/*\": unexpected EOF", "line 3 ok"}},
		"a bad first line":         {"{\"x\":\n" + good("b"), []string{"line 1: malformed JSON: at offset 5, in \"/*\": unexpected EOF", "line 2 ok"}},
		"a hopeless first line":    {"hello\n" + good("b"), []string{"line 1: malformed JSON: at offset 0, in \"\": invalid character 'h' at start of value", "line 2 ok"}},
		"a faulty event":           {good("a") + "\n" + `{"event_name":"x"}`, []string{"line 1 ok", "line 2: /event_time: every event has an event_time, in seconds since 1970"}},
		"an array":                 {"[" + good("a") + ",\n" + good("b") + "]", []string{"element 1 ok", "element 2 ok"}},
		"an array with a bad one":  {"[\n" + good("a") + ",\n{}]", []string{"element 1 ok", "element 2: /event_name: every event has an event_name"}},
		"an empty array":           {"[]", nil},
		"a broken array":           {"[\n" + good("a") + ",\n", []string{"line 3: unexpected end of JSON input"}},
		"an event over many lines": {pretty, []string{"input ok"}},
		"a body over many lines":   {"{\n\"partner_agent\": \"acme\",\n\"data\": [\n" + pretty + "\n]\n}", []string{"input ok"}},
		"a broken body":            {"{\n\"data\": [\n{]\n", []string{"line 3: invalid character ']' looking for beginning of object key string"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			require.Equal(t, tc.want, read(t, tc.input))
		})
	}
}

// Each line of what is wrong with a record says where it is.
func TestEveryFaultHasItsPlace(t *testing.T) {
	t.Parallel()
	input := good("a") + "\n" + `{"data":[` + good("b") + `,{"event_name":"x","event_time":1},{"event_time":"now"}]}`
	checker := newChecker(new(config.Default()), "")
	for r := range readRecords(strings.NewReader(input), checker.decoder) {
		if r.place == "line 1" {
			require.Empty(t, checker.faults(&r))
			continue
		}
		lines := checker.faults(&r)
		require.GreaterOrEqual(t, len(lines), 4)
		for _, line := range lines {
			require.Regexp(t, "^line 2, event [23]: /", line)
		}
		require.Contains(t, lines[0], "event 2")
		require.Contains(t, lines[len(lines)-1], "event 3")
	}
}

func TestALargeBodyIsSplit(t *testing.T) {
	t.Parallel()
	events := make([]string, 2500)
	for i := range events {
		events[i] = good(strconv.Itoa(i))
	}
	input := `{"partner_agent":"<acme>","data":[` + strings.Join(events, ",") + `]}`
	var sizes []int
	checker := newChecker(new(config.Default()), "")
	for r := range readRecords(strings.NewReader(input), checker.decoder) {
		require.NoError(t, r.err)
		require.Contains(t, string(r.data), `"partner_agent":"<acme>"`, "bytes are kept")
		sizes = append(sizes, strings.Count(string(r.data), "event_id"))
	}
	require.Equal(t, []int{1000, 1000, 500}, sizes)
}

func TestALineLongerThanTheBuffer(t *testing.T) {
	t.Parallel()
	long := strings.Replace(good("long"), `"user_data"`, `"x":"`+strings.Repeat("x", 3<<20)+`","user_data"`, 1)
	require.Equal(t, []string{"line 1: the event alone makes a request larger than the 900000 bytes that it may have", "line 2 ok"}, read(t, long+"\n"+good("b")), "it is read whole")
}

// FuzzReadRecords reads arbitrary input: no panic, and whatever is called good
// is something that the dispatcher takes.
func FuzzReadRecords(f *testing.F) {
	f.Add(good("a") + "\n" + good("b"))
	f.Add("[" + good("a") + "]")
	f.Add("{\n\"data\":[]}")
	f.Fuzz(func(t *testing.T, input string) {
		checker := newChecker(new(config.Default()), "")
		for r := range readRecords(strings.NewReader(input), checker.decoder) {
			require.NotEmpty(t, r.place)
			if r.err == nil {
				require.NotEmpty(t, r.data)
			}
		}
	})
}
