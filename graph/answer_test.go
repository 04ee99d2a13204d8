package graph_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/capi-dispatcher/capi-dispatcher/graph"
)

// The codes that Meta documents or users have published, each with its class.
func TestCodes(t *testing.T) {
	t.Parallel()
	type codes map[int][]int // code to subcodes; 0 is none
	for want, table := range map[graph.Verdict]codes{
		graph.Retry:     {1: {0, 99}, 2: {0}, 960: {0}, 5000: {0}, 21009: {0}},
		graph.Throttled: {4: {0, 1504022, 1504039}, 17: {0, 2446079}, 32: {0}, 341: {0}, 613: {0, 1487742}, 80000: {0}, 80001: {0}, 80002: {0}, 80004: {0, 2446079}, 80008: {0}, 80014: {0}},
		graph.Paused: {
			3: {0}, 5: {0}, 10: {0}, 101: {0}, 100: {33, 2804131, 2804132, 2804133}, 102: {0}, 104: {0}, 200: {0}, 278: {0}, 299: {0}, 368: {0}, 803: {0}, 2500: {0}, 2635: {0},
			190: {0, 452, 456, 457, 458, 459, 460, 461, 462, 463, 464, 465, 466, 467, 468, 492, 99999},
		},
		graph.Refused: {100: {
			0, 1, 2804001, 2804003, 2804004, 2804007, 2804008, 2804009, 2804010, 2804011, 2804016, 2804017, 2804019, 2804030, 2804036, 2804043,
			2804048, 2804050, 2804063, 2804064, 2804066, 2804069, 2804071, 2804072, 2804075, 2804079, 2804081, 2804087, 2804116,
		}, 506: {0}},
	} {
		for code, subcodes := range table {
			for _, subcode := range subcodes {
				body, err := json.Marshal(map[string]any{"error": map[string]any{
					"message": "m", "type": "OAuthException", "code": code, "error_subcode": subcode, "fbtrace_id": "A1",
				}})
				require.NoError(t, err)
				answer := graph.Judge(http.StatusBadRequest, nil, body, 1)
				require.Equal(t, want.String(), answer.Verdict.String(), "%d/%d", code, subcode)
				require.Equal(t, "A1", answer.TraceID)
			}
		}
	}
}

// Every HTTP status without a Graph error in the body.
func TestStatuses(t *testing.T) {
	t.Parallel()
	for status := 200; status < 600; status++ {
		want := graph.Unknown
		switch {
		case status == 429:
			want = graph.Throttled
		case status == 408, status == 425, status == 503:
			want = graph.Retry
		case status == 413:
			want = graph.Refused
		case status >= 300 && status < 500:
			want = graph.Paused
		}
		for _, body := range []string{"", "<html>", "{", `{"a":1}`, "null", "[]", "7"} {
			require.Equal(t, want.String(), graph.Judge(status, nil, []byte(body), 1).Verdict.String(), "%d %s", status, body)
		}
	}
}

func TestErrorData(t *testing.T) {
	t.Parallel()
	for data, want := range map[string]int{
		`{"event_index":7}`:     7,
		`"{\"event_index\":7}"`: 7,
		`{"event_index":-7}`:    -1,
		`{"event_index":"x"}`:   -1,
		`{"blame_field_specs":[["custom_data","currency"]]}`: -1,
		`"text"`: -1,
		`null`:   -1,
	} {
		body := `{"error":{"code":100,"error_data":` + data + `}}`
		require.Equal(t, want, graph.Judge(400, nil, []byte(body), 1).Error.Event, data)
	}
}

func TestTransientBeatsRefused(t *testing.T) {
	t.Parallel()
	body := `{"error":{"code":100,"is_transient":true}}`
	require.Equal(t, graph.Retry, graph.Judge(400, nil, []byte(body), 1).Verdict)
}

// Nobody knows the subcode of a restricted region, so the words have to do,
// wherever they are.
func TestRestrictedRegion(t *testing.T) {
	t.Parallel()
	for member, text := range map[string]string{
		"error_user_title": "Messaging Event Within Messaging Restrictive Region",
		"error_user_msg":   "This page is in a restrictive region.",
		"message":          "(#100) Messaging Event Within Messaging Restrictive Region",
	} {
		answer := graph.Judge(http.StatusBadRequest, nil, fmt.Appendf(nil, `{"error":{"code":100,"error_subcode":1,%q:%q}}`, member, text), 1)
		require.Equal(t, graph.Refused, answer.Verdict)
		require.True(t, answer.Restricted, member)
	}
	require.False(t, graph.Judge(http.StatusBadRequest, nil, []byte(`{"error":{"code":100,"message":"Invalid parameter"}}`), 1).Restricted)
}

func TestMoreReceivedThanSent(t *testing.T) {
	t.Parallel()
	answer := graph.Judge(200, nil, []byte(`{"events_received":3,"messages":["hm"]}`), 2)
	require.Equal(t, graph.Accepted, answer.Verdict)
	require.Equal(t, 3, answer.Received)
	require.Equal(t, []string{"hm"}, answer.Messages)
}

func TestRetryAfter(t *testing.T) {
	t.Parallel()
	for value, want := range map[string]time.Duration{
		"":          0,
		"7":         7 * time.Second,
		"-7":        0,
		"soon":      0,
		"999999999": 24 * time.Hour,
		time.Now().Add(-time.Hour).UTC().Format(http.TimeFormat):      0,
		time.Now().Add(100 * time.Hour).UTC().Format(http.TimeFormat): 24 * time.Hour,
	} {
		answer := graph.Judge(429, http.Header{"Retry-After": {value}}, nil, 1)
		require.Equal(t, want, answer.RetryAfter, value)
	}
	at := time.Now().Add(time.Hour).UTC().Format(http.TimeFormat)
	require.InDelta(t, time.Hour, graph.Judge(429, http.Header{"Retry-After": {at}}, nil, 1).RetryAfter, float64(5*time.Second))
}

func TestUsage(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		header, value string
		want          graph.Usage
	}{
		"app": {"X-App-Usage", `{"call_count":25,"total_cputime":12,"total_time":88}`, graph.Usage{App: 88}},
		"ad account": {
			"X-Ad-Account-Usage", `{"acc_id_util_pct":9.67,"reset_time_duration":100,"ads_api_access_tier":"standard_access"}`,
			graph.Usage{Percent: 9.67},
		},
		"ad account at its limit": {
			"X-Ad-Account-Usage", `{"acc_id_util_pct":100,"reset_time_duration":100}`,
			graph.Usage{Percent: 100, Regain: 100 * time.Second},
		},
		"business, in minutes, every element": {
			"X-Business-Use-Case-Usage",
			`{"1":[{"type":"pages","call_count":5,"estimated_time_to_regain_access":0},{"type":"messenger","call_count":101,"estimated_time_to_regain_access":3}],"2":[]}`,
			graph.Usage{Percent: 101, Regain: 3 * time.Minute},
		},
		"absurd":  {"X-Business-Use-Case-Usage", `{"1":[{"estimated_time_to_regain_access":1e300}]}`, graph.Usage{Regain: 24 * time.Hour}},
		"garbage": {"X-App-Usage", `{`, graph.Usage{}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			header := http.Header{}
			header.Set(tc.header, tc.value)
			require.Equal(t, tc.want, graph.Judge(200, header, nil, 1).Usage)
		})
	}
}

func TestAppWideThrottles(t *testing.T) {
	t.Parallel()
	for body, want := range map[string]bool{
		`{"error":{"code":4,"is_transient":true}}`: true,
		`{"error":{"code":341}}`:                   true,
		`{"error":{"code":17}}`:                    false,
		`{"error":{"code":80004}}`:                 false,
		`{"error":{"code":190}}`:                   false,
		`Too many requests`:                        false,
	} {
		answer := graph.Judge(http.StatusTooManyRequests, nil, []byte(body), 1)
		require.Equal(t, want, answer.AppWide(), body)
	}
}

func TestExplain(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		code, subcode int
		title         string
	}{
		{190, 463, "access token expired"},
		{190, 12345, "access token expired, revoked or invalid"},
		{100, 2804087, "ctwa_clid is not of a real click"},
		{250, 0, "permission missing"},
		{80009, 0, "too many calls: catalogue management"},
	} {
		meaning, ok := graph.Explain(tc.code, tc.subcode)
		require.True(t, ok)
		require.Equal(t, tc.title, meaning.Title)
		require.NotEmpty(t, meaning.Advice)
	}
	_, ok := graph.Explain(424242, 0)
	require.False(t, ok)
}

// FuzzJudge feeds the classifier with whatever may come back. It must not
// panic, must call nothing accepted that does not say so, and must refuse
// events only for an error of Graph's or for their size.
func FuzzJudge(f *testing.F) {
	f.Add(200, `{"events_received":1,"messages":[],"fbtrace_id":"A"}`, "", 1)
	f.Add(200, `{"events_received":0}`, "", 1)
	f.Add(400, `{"error":{"code":100,"error_subcode":2804003,"error_data":"{\"event_index\":1}"}}`, "3", 2)
	f.Add(401, `{"error":{"code":190}}`, "Wed, 21 Oct 2015 07:28:00 GMT", 2)
	f.Add(502, `<html>`, "-1", 2)
	f.Add(200, ``, "", 1000)
	f.Fuzz(func(t *testing.T, status int, body, header string, events int) {
		if events < 1 || events > 1000 {
			return
		}
		answer := graph.Judge(status, http.Header{"Retry-After": {header}, "X-App-Usage": {body}}, []byte(body), events)
		require.NotEmpty(t, answer.Verdict.String())
		require.NotEmpty(t, answer.Reason())
		require.GreaterOrEqual(t, answer.RetryAfter, time.Duration(0))
		if answer.Verdict == graph.Accepted {
			require.GreaterOrEqual(t, answer.Received, events)
			require.GreaterOrEqual(t, status, 200)
			require.Less(t, status, 300)
		}
		if answer.Verdict == graph.Refused {
			require.True(t, answer.Error != nil || status == http.StatusRequestEntityTooLarge)
		}
	})
}

func TestErrorCodesAreInOrderAndExplained(t *testing.T) {
	t.Parallel()
	codes := graph.ErrorCodes()
	require.Equal(t, graph.ErrorCode{Code: 1}, codes[0])
	require.Contains(t, codes, graph.ErrorCode{Code: 100, Subcode: 2804048})
	for i, code := range codes {
		meaning, ok := graph.Explain(code.Code, code.Subcode)
		require.True(t, ok)
		require.NotEmpty(t, meaning.Title, code)
		require.NotEmpty(t, meaning.Advice, code)
		require.NotContains(t, []graph.Verdict{graph.Unknown, graph.Accepted}, meaning.Verdict, code)
		if i > 0 {
			before := codes[i-1]
			require.True(t, before.Code < code.Code || before.Code == code.Code && before.Subcode < code.Subcode, code)
		}
	}
	require.Equal(t, "100/33", graph.ErrorCode{Code: 100, Subcode: 33}.String())
	require.Equal(t, "190", graph.ErrorCode{Code: 190}.String())
}
