package graphtest_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/capi-dispatcher/capi-dispatcher/graph/graphtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	dataset = "1234567890"
	token   = "good-token"
)

type rig struct {
	*graphtest.API

	t   *testing.T
	url string
}

func setup(t *testing.T) *rig {
	t.Helper()
	api := graphtest.New(graphtest.Config{KeepEvents: true})
	api.AddDataset(dataset, token)
	server := httptest.NewServer(api)
	t.Cleanup(func() { http.DefaultClient.CloseIdleConnections() })
	t.Cleanup(server.Close)
	return &rig{API: api, t: t, url: server.URL}
}

// do sends a request and returns status and body; status 0 is no answer.
func (r *rig) do(method, path, body string) (int, string) {
	r.t.Helper()
	request, err := http.NewRequestWithContext(r.t.Context(), method, r.url+path, strings.NewReader(body))
	require.NoError(r.t, err)
	request.Header.Set("Authorization", "Bearer "+token)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, ""
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		return response.StatusCode, "cut: " + string(text)
	}
	return response.StatusCode, string(text)
}

func (r *rig) post(events ...string) (int, string) {
	r.t.Helper()
	return r.do(http.MethodPost, "/v26.0/"+dataset+"/events", `{"data":[`+strings.Join(events, ",")+`]}`)
}

// edit changes members of a sound event; a nil value removes one. Names with a
// slash reach into an object.
func edit(t *testing.T, changes map[string]any) string {
	t.Helper()
	event := map[string]any{
		"event_name": "Purchase", "event_id": "e1", "event_time": time.Now().Unix(),
		"action_source": "business_messaging", "messaging_channel": "whatsapp",
		"user_data":   map[string]any{"page_id": "1", "ctwa_clid": "clid"},
		"custom_data": map[string]any{"currency": "USD", "value": 1},
	}
	for name, value := range changes {
		at := event
		if outer, inner, ok := strings.Cut(name, "/"); ok {
			at, name = event[outer].(map[string]any), inner
		}
		if value == nil {
			delete(at, name)
		} else {
			at[name] = value
		}
	}
	text, err := json.Marshal(event)
	require.NoError(t, err)
	return string(text)
}

func TestAcceptedInMetasShape(t *testing.T) {
	t.Parallel()
	r := setup(t)
	status, body := r.post(edit(t, nil), edit(t, map[string]any{"event_id": "e2"}))
	require.Equal(t, http.StatusOK, status)
	require.Regexp(t, `^{"events_received":2,"messages":\[\],"fbtrace_id":"A[^"]+"}$`, body)
	r.post(edit(t, nil))
	require.Equal(t, map[graphtest.Event]int{
		{Dataset: dataset, Name: "Purchase", ID: "e1"}: 2, // Meta does not deduplicate
		{Dataset: dataset, Name: "Purchase", ID: "e2"}: 1,
	}, r.Ledger().Counts())
	distinct, again := r.Ledger().Distinct()
	require.Equal(t, 2, distinct)
	require.Equal(t, 1, again)
}

func TestOneFaultyEventRefusesTheRequest(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		changes map[string]any
		want    string // code/subcode, or "" if it is fine
	}{
		"sound":                    {nil, ""},
		"no name":                  {map[string]any{"event_name": nil}, "100/2804019"},
		"name before click":        {map[string]any{"event_name": "Lead", "user_data/ctwa_clid": nil}, "100/2804066"},
		"whatsapp, invented click": {map[string]any{"user_data/ctwa_clid": "invalid-1"}, "100/2804087"},
		"unlinked page":            {map[string]any{"user_data/page_id": "13"}, "100/2804131"},
		"unlinked whatsapp":        {map[string]any{"user_data/whatsapp_business_account_id": "13"}, "100/2804132"},
		"unlinked instagram": {map[string]any{
			"messaging_channel": "instagram", "user_data/ig_sid": 5, "user_data/ig_account_id": 13,
		}, "100/2804133"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := setup(t)
			r.LinkAssets(dataset, "1", "5")
			good := edit(t, map[string]any{"event_id": "neighbour"})
			status, body := r.post(good, edit(t, tc.changes), good)
			if tc.want == "" {
				require.Equal(t, http.StatusOK, status, body)
				return
			}
			require.Equal(t, http.StatusBadRequest, status)
			require.Equal(t, tc.want, code(t, body))
			require.Zero(t, r.Ledger().Sum().Events, "all or nothing")
			require.Equal(t, 1, r.Ledger().Totals(dataset).Refused)
		})
	}
}

// code reads an error as code/subcode.
func code(t *testing.T, body string) string {
	t.Helper()
	var answer struct {
		Error struct {
			Code    int    `json:"code"`
			Subcode int    `json:"error_subcode"`
			TraceID string `json:"fbtrace_id"`
			Message string `json:"message"`
			Type    string `json:"type"`
		} `json:"error"`
	}
	require.NoError(t, json.Unmarshal([]byte(body), &answer), body)
	require.NotEmpty(t, answer.Error.TraceID)
	require.NotEmpty(t, answer.Error.Message)
	require.NotEmpty(t, answer.Error.Type)
	return fmt.Sprintf("%d/%d", answer.Error.Code, answer.Error.Subcode)
}

func TestRequestsThatAreNone(t *testing.T) {
	t.Parallel()
	r := setup(t)
	for name, tc := range map[string]struct{ path, body, want string }{
		"unknown dataset": {"/v26.0/99/events", `{"data":[` + edit(t, nil) + `]}`, "100/33"},
		"unknown path":    {"/v26.0/99", `{}`, "2500/0"},
		"no data":         {"/v26.0/" + dataset + "/events", `{}`, "100/0"},
		"no JSON":         {"/v26.0/" + dataset + "/events", `{"data":`, "100/0"},
		"1001 events":     {"/v26.0/" + dataset + "/events", `{"data":[1` + strings.Repeat(",1", 1000) + `]}`, "100/0"},
	} {
		status, body := r.do(http.MethodPost, tc.path, tc.body)
		require.Equal(t, http.StatusBadRequest, status, name)
		require.Equal(t, tc.want, code(t, body), name)
	}
}

func TestTokens(t *testing.T) {
	t.Parallel()
	r := setup(t)
	body := `{"data":[` + edit(t, nil) + `]}`
	r.AddDataset(dataset, "another-token")
	status, answer := r.do(http.MethodPost, "/v26.0/"+dataset+"/events", body)
	require.Equal(t, http.StatusUnauthorized, status)
	require.Equal(t, "190/0", code(t, answer))
	r.AddDataset(dataset, "another-token", token)
	status, _ = r.do(http.MethodPost, "/v26.0/"+dataset+"/events", body)
	require.Equal(t, http.StatusOK, status)
}

func TestFaults(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		fault    graphtest.Fault
		status   int
		body     string // a regular expression
		accepted int
	}{
		"none":                {graphtest.Fault{}, 200, `"events_received":1`, 1},
		"dropped before":      {graphtest.Fault{Drop: true}, 0, `^$`, 0},
		"dropped after":       {graphtest.Fault{Accept: true, Drop: true}, 0, `^$`, 1},
		"cut after":           {graphtest.Fault{Accept: true, Cut: true}, 200, `^cut: {"events_`, 1},
		"server error":        {graphtest.Fault{Status: 500}, 500, `"code":2,`, 0},
		"throttled":           {graphtest.Fault{Status: 429, Header: map[string]string{"Retry-After": "7"}}, 429, `"code":4,`, 0},
		"dead token":          {graphtest.Fault{Error: graphtest.TokenExpired()}, 400, `"code":190,"error_subcode":463`, 0},
		"HTML":                {graphtest.Fault{Status: 502, Body: "<html>Bad Gateway</html>"}, 502, `^<html>`, 0},
		"HTML after all":      {graphtest.Fault{Accept: true, Status: 200, Body: "<html>"}, 200, `^<html>`, 1},
		"empty":               {graphtest.Fault{Status: 200, Body: "-"}, 200, `^$`, 0},
		"receives less":       {graphtest.Fault{Accept: true, Short: 1}, 200, `"events_received":0`, 1},
		"slow":                {graphtest.Fault{Delay: time.Millisecond}, 200, `"events_received":1`, 1},
		"slow after all":      {graphtest.Fault{Accept: true, AnswerDelay: time.Millisecond}, 200, `"events_received":1`, 1},
		"permission":          {graphtest.Fault{Error: graphtest.PermissionMissing()}, 400, `"code":10,`, 0},
		"throttled app":       {graphtest.Fault{Error: graphtest.Throttled()}, 400, `"code":4,`, 0},
		"temporarily away":    {graphtest.Fault{Error: graphtest.Unavailable(), Status: 503}, 503, `"code":2,`, 0},
		"forbidden by status": {graphtest.Fault{Status: 403}, 403, `"code":10,`, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := setup(t)
			r.Script(dataset, tc.fault)
			status, body := r.post(edit(t, nil))
			require.Equal(t, tc.status, status)
			require.Regexp(t, tc.body, body)
			require.Equal(t, tc.accepted, r.Ledger().Sum().Events)
			status, _ = r.post(edit(t, nil))
			require.Equal(t, http.StatusOK, status, "a script's fault hits one request")
		})
	}
}

func TestFaultForEveryRequest(t *testing.T) {
	t.Parallel()
	r := setup(t)
	r.Always(dataset, graphtest.Fault{Status: 500})
	r.Script(dataset, graphtest.Fault{Status: 429}, graphtest.Fault{})
	var got []int
	for range 4 {
		status, _ := r.post(edit(t, nil))
		got = append(got, status)
	}
	require.Equal(t, []int{429, 200, 500, 500}, got)
	r.Clear(dataset)
	status, _ := r.post(edit(t, nil))
	require.Equal(t, http.StatusOK, status)
}

func TestControlOverHTTP(t *testing.T) {
	t.Parallel()
	r := setup(t)
	status, _ := r.do(http.MethodPut, "/_control/datasets/77", `{"tokens":["`+token+`"]}`)
	require.Equal(t, http.StatusOK, status)
	status, body := r.do(http.MethodPost, "/_control/datasets/77/faults", `[{"status":500,"delay":"1ms"},{"error":{"message":"m","code":190}}]`)
	require.Equal(t, http.StatusOK, status, body)
	status, _ = r.do(http.MethodPut, "/_control/datasets/77/fault", `{"status":503}`)
	require.Equal(t, http.StatusOK, status)
	event := `{"data":[` + edit(t, nil) + `]}`
	for _, want := range []int{500, 400, 503} {
		status, _ = r.do(http.MethodPost, "/v26.0/77/events", event)
		require.Equal(t, want, status)
	}
	r.do(http.MethodDelete, "/_control/datasets/77/fault", "")
	status, _ = r.do(http.MethodPost, "/v26.0/77/events", event)
	require.Equal(t, http.StatusOK, status)
	_, body = r.do(http.MethodGet, "/_control/ledger", "")
	require.JSONEq(t, `{"totals":{"requests":4,"refused":0,"batches":1,"events":1,"largest":1},
		"events":[{"dataset":"77","event_name":"Purchase","event_id":"e1","times":1}]}`, body)
	r.do(http.MethodDelete, "/_control/ledger", "")
	require.Zero(t, r.Ledger().Sum())
	status, body = r.do(http.MethodPut, "/_control/datasets/77/fault", `{"delay":"soon"}`)
	require.Equal(t, http.StatusBadRequest, status)
	require.Contains(t, body, "soon")
}

func TestSamplesAreAccepted(t *testing.T) {
	t.Parallel()
	samples := graphtest.Samples(time.Now())
	require.Len(t, samples, 9)
	for _, sample := range samples {
		t.Run(sample.Name, func(t *testing.T) {
			t.Parallel()
			r := setup(t)
			status, body := r.do(http.MethodPost, "/v26.0/"+dataset+"/events", string(sample.Body))
			// The newer guides name the account in a way the live API refuses.
			if bytes.Contains(sample.Event, []byte("instagram_business_account_id")) {
				require.Equal(t, "100/2804079", code(t, body))
				mended := strings.Replace(string(sample.Body), "instagram_business_account_id", "ig_account_id", 1)
				status, body = r.do(http.MethodPost, "/v26.0/"+dataset+"/events", mended)
				require.Equal(t, http.StatusOK, status, body)
				return
			}
			require.Equal(t, http.StatusOK, status, body)
			entries := r.Ledger().Entries()
			require.Len(t, entries, 1)
			require.Equal(t, "acme", entries[0].PartnerAgent)
			require.Equal(t, string(sample.Event), string(entries[0].Raw))
		})
	}
}

func TestAnyDataset(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(graphtest.New(graphtest.Config{AnyDataset: true}))
	t.Cleanup(server.Close)
	r := &rig{t: t, url: server.URL}
	status, body := r.do(http.MethodPost, "/v26.0/42/events", `{"data":[`+edit(t, nil)+`]}`)
	require.Equal(t, http.StatusOK, status, body)
}
