package graph_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/capi-dispatcher/capi-dispatcher/graph"
	"github.com/capi-dispatcher/capi-dispatcher/graph/event"
	"github.com/capi-dispatcher/capi-dispatcher/graph/graphtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	dataset = "1234567890"
	token   = "EAAB-secret-token"
)

// rig is a client and the simulated API it talks to.
type rig struct {
	*graphtest.API
	*graph.Client

	cfg    graph.Config
	opened atomic.Int64 // connections
}

func setup(t *testing.T, change func(*graph.Config)) *rig {
	t.Helper()
	api := graphtest.New(graphtest.Config{KeepEvents: true})
	api.AddDataset(dataset, token)
	r := &rig{API: api}
	server := httptest.NewUnstartedServer(api)
	server.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			r.opened.Add(1)
		}
	}
	server.Start()
	t.Cleanup(server.Close)
	cfg := graph.DefaultConfig()
	cfg.URL, cfg.TokenDir, cfg.Timeout = server.URL, t.TempDir(), time.Minute
	writeFile(t, cfg.TokenDir, dataset, token+"\n")
	if change != nil {
		change(&cfg)
	}
	r.Client, r.cfg = newClient(t, cfg), cfg
	return r
}

func newClient(t *testing.T, cfg graph.Config) *graph.Client {
	t.Helper()
	require.NoError(t, cfg.Validate())
	transport := graph.NewTransport(4)
	t.Cleanup(transport.CloseIdleConnections)
	client, err := graph.New(cfg, transport)
	require.NoError(t, err)
	return client
}

func writeFile(t *testing.T, dir, name, text string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	return path
}

func (r *rig) send(t *testing.T, events ...string) graph.Answer {
	t.Helper()
	request := graph.Request{Dataset: dataset, Envelope: event.Envelope{PartnerAgent: "acme"}}
	for _, e := range events {
		request.Events = append(request.Events, []byte(e))
	}
	return r.Send(t.Context(), request)
}

func sampleEvents(n int) []string {
	var events []string
	for _, sample := range graphtest.Samples(time.Now())[:n] {
		events = append(events, string(sample.Event))
	}
	return events
}

func TestSendCarriesEveryByte(t *testing.T) {
	t.Parallel()
	r := setup(t, nil)
	events := sampleEvents(3)
	events[1] = strings.Replace(events[1], `"event_name"`, `"x_new":{"big":12345678901234567890.10,"text":"\u00e9 é"},"event_name"`, 1)
	answer := r.send(t, events...)
	require.Equal(t, graph.Accepted, answer.Verdict, answer.Reason())
	require.Equal(t, 3, answer.Received)
	require.NotEmpty(t, answer.TraceID)
	require.Equal(t, "v26.0", answer.Version)
	require.Positive(t, answer.Took)
	for i, entry := range r.Ledger().Entries() {
		require.Equal(t, events[i], string(entry.Raw))
		require.Equal(t, "acme", entry.PartnerAgent)
	}
}

func TestThousandEventsInOneRequest(t *testing.T) {
	t.Parallel()
	r := setup(t, nil)
	events := make([]string, 1000)
	for i := range events {
		events[i] = sampleEvents(1)[0]
	}
	answer := r.send(t, events...)
	require.Equal(t, graph.Accepted, answer.Verdict, answer.Reason())
	require.Equal(t, graphtest.Totals{Requests: 1, Batches: 1, Events: 1000, Largest: 1000}, r.Ledger().Sum())
}

// Every way in which Graph, or what is before it, can answer or not; and what
// the ledger holds afterwards.
func TestVerdicts(t *testing.T) {
	t.Parallel()
	const html = "<html><body>Bad Gateway</body></html>"
	for name, tc := range map[string]struct {
		fault    graphtest.Fault
		want     graph.Verdict
		accepted int
		reason   string
	}{
		"sound":                       {graphtest.Fault{}, graph.Accepted, 2, "accepted"},
		"dropped before accepting":    {graphtest.Fault{Drop: true}, graph.Unknown, 0, "EOF"},
		"dropped after accepting":     {graphtest.Fault{Accept: true, Drop: true}, graph.Unknown, 2, "EOF"},
		"half a body, accepted":       {graphtest.Fault{Accept: true, Cut: true}, graph.Unknown, 2, "cut off"},
		"half a body, not accepted":   {graphtest.Fault{Cut: true}, graph.Unknown, 0, "cut off"},
		"answer after the timeout":    {graphtest.Fault{Accept: true, AnswerDelay: time.Minute}, graph.Unknown, 2, "deadline"},
		"no answer in time":           {graphtest.Fault{Delay: time.Minute, Drop: true}, graph.Unknown, 0, "deadline"},
		"500 from Graph":              {graphtest.Fault{Status: 500}, graph.Retry, 0, "graph error 2"},
		"500 from somebody else":      {graphtest.Fault{Status: 500, Body: html}, graph.Unknown, 0, "HTML"},
		"502 from a proxy":            {graphtest.Fault{Status: 502, Body: html}, graph.Unknown, 0, "HTML"},
		"503 from a proxy":            {graphtest.Fault{Status: 503, Body: html}, graph.Retry, 0, "HTML"},
		"504 from a proxy":            {graphtest.Fault{Status: 504, Body: "-"}, graph.Unknown, 0, "empty"},
		"503 from Graph":              {graphtest.Fault{Status: 503, Error: graphtest.Unavailable()}, graph.Retry, 0, "graph error 2"},
		"429 from Graph":              {graphtest.Fault{Status: 429}, graph.Throttled, 0, "graph error 4"},
		"429 from a proxy":            {graphtest.Fault{Status: 429, Body: "slow down"}, graph.Throttled, 0, "something else"},
		"400 that is a throttle":      {graphtest.Fault{Error: graphtest.Throttled()}, graph.Throttled, 0, "graph error 4"},
		"dead token":                  {graphtest.Fault{Error: graphtest.TokenExpired()}, graph.Paused, 0, "190/463"},
		"dead token as 401":           {graphtest.Fault{Status: 401, Error: graphtest.TokenExpired()}, graph.Paused, 0, "190/463"},
		"permission missing":          {graphtest.Fault{Error: graphtest.PermissionMissing()}, graph.Paused, 0, "graph error 10"},
		"200 with HTML":               {graphtest.Fault{Accept: true, Status: 200, Body: html}, graph.Unknown, 2, "HTML"},
		"200 with nothing":            {graphtest.Fault{Accept: true, Status: 200, Body: "-"}, graph.Unknown, 2, "empty"},
		"200 with other JSON":         {graphtest.Fault{Accept: true, Status: 200, Body: `{"ok":true}`}, graph.Unknown, 2, "without events_received"},
		"200 with a huge body":        {graphtest.Fault{Accept: true, Status: 200, Body: strings.Repeat("x", 1<<20)}, graph.Unknown, 2, "65536 bytes"},
		"200 for fewer":               {graphtest.Fault{Accept: true, Short: 1}, graph.Unknown, 2, "events_received is 1 of 2 sent"},
		"200 for none":                {graphtest.Fault{Accept: true, Short: 2}, graph.Unknown, 2, "events_received is 0 of 2 sent"},
		"redirect":                    {graphtest.Fault{Status: 307, Body: "-", Header: map[string]string{"Location": "/"}}, graph.Paused, 0, "HTTP 307"},
		"login page of a proxy":       {graphtest.Fault{Status: 403, Body: html}, graph.Paused, 0, "HTML"},
		"too large for a proxy":       {graphtest.Fault{Status: 413, Body: html}, graph.Refused, 0, "HTML"},
		"temporary, says Graph":       {graphtest.Fault{Error: &graphtest.Error{Code: 99999, Transient: true}}, graph.Retry, 0, "99999"},
		"a code nobody knows":         {graphtest.Fault{Error: &graphtest.Error{Code: 99999}}, graph.Refused, 0, "99999"},
		"a code nobody knows, as 403": {graphtest.Fault{Status: 403, Error: &graphtest.Error{Code: 99999}}, graph.Paused, 0, "99999"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := setup(t, func(cfg *graph.Config) {
				if tc.fault.Delay+tc.fault.AnswerDelay > 0 {
					cfg.Timeout = 5 * time.Second
				}
			})
			r.Script(dataset, tc.fault)
			answer := r.send(t, sampleEvents(2)...)
			require.Equal(t, tc.want.String(), answer.Verdict.String(), answer.Reason())
			require.Contains(t, answer.Reason(), tc.reason)
			require.NotContains(t, answer.Reason(), token)
			require.Equal(t, tc.accepted, r.Ledger().Sum().Events)
			require.False(t, answer.Unreachable)
		})
	}
}

func TestBadEventIsRefusedWithMetasWords(t *testing.T) {
	t.Parallel()
	r := setup(t, nil)
	answer := r.send(t, sampleEvents(1)[0], `{"event_name":"Purchase"}`)
	require.Equal(t, graph.Refused, answer.Verdict)
	require.Equal(t, 100, answer.Error.Code)
	require.Equal(t, 2804019, answer.Error.Subcode)
	require.Equal(t, "$['data'][1]['event_time'] is required", answer.Error.UserMessage)
	require.Equal(t, "graph error 100/2804019: a required field is missing", answer.Reason())
	require.Contains(t, answer.Detail(), "graph error 100/2804019: Server Side Api Parameter Error")
	require.Equal(t, http.StatusBadRequest, answer.Status)
}

func TestUnlinkedAccountIsNotTheDatasetsFault(t *testing.T) {
	t.Parallel()
	r := setup(t, nil)
	r.LinkAssets(dataset, "another page")
	answer := r.send(t, sampleEvents(3)...)
	require.Equal(t, graph.Paused, answer.Verdict)
	require.True(t, answer.PerAsset)
}

func TestNobodyThere(t *testing.T) {
	t.Parallel()
	r := setup(t, func(cfg *graph.Config) { cfg.URL = "http://127.0.0.1:1" })
	answer := r.send(t, sampleEvents(1)...)
	require.Equal(t, graph.Retry, answer.Verdict, "nothing was written")
	require.True(t, answer.Unreachable)
	require.ErrorContains(t, answer.Cause, "connection refused")
}

func TestTLSIsVerified(t *testing.T) {
	t.Parallel()
	server := httptest.NewTLSServer(graphtest.New(graphtest.Config{AnyDataset: true}))
	server.Config.ErrorLog = nil
	t.Cleanup(server.Close)
	r := setup(t, func(cfg *graph.Config) { cfg.URL = server.URL })
	answer := r.send(t, sampleEvents(1)...)
	require.Equal(t, graph.Retry, answer.Verdict)
	require.ErrorContains(t, answer.Cause, "certificate")
	require.NotEqual(t, graph.Unknown, answer.Verdict, "the token and the events were not sent")
}

func TestCancelledAfterItLeft(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, request *http.Request) {
		_, _ = io.Copy(io.Discard, request.Body)
		cancel()
		<-request.Context().Done()
	}))
	t.Cleanup(server.Close)
	r := setup(t, func(cfg *graph.Config) { cfg.URL = server.URL })
	answer := r.Send(ctx, graph.Request{Dataset: dataset, Events: [][]byte{[]byte(`{}`)}})
	require.Equal(t, graph.Unknown, answer.Verdict)
	require.ErrorIs(t, answer.Cause, context.Canceled)
}

func TestOverheadIsWhatABodyWeighs(t *testing.T) {
	t.Parallel()
	for _, envelope := range []event.Envelope{{}, {PartnerAgent: "a", TestEventCode: "T", Extra: `{"upload_tag":"x"}`}} {
		lengths := make(chan int64, 1)
		server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, request *http.Request) {
			lengths <- request.ContentLength
		}))
		t.Cleanup(server.Close)
		r := setup(t, func(cfg *graph.Config) {
			cfg.URL = server.URL
			cfg.AppSecretFile = writeFile(t, t.TempDir(), "secret", "s")
		})
		r.Send(t.Context(), graph.Request{Dataset: dataset, Envelope: envelope, Events: [][]byte{[]byte(`{}`), []byte(`{}`)}})
		require.Equal(t, int64(graph.Overhead(envelope)+len(`{},{}`)), <-lengths)
	}
}

func TestConfig(t *testing.T) {
	t.Parallel()
	require.NoError(t, graph.DefaultConfig().Validate())
	err := graph.Config{URL: "ftp://x", Version: "26", Timeout: time.Hour}.Validate()
	for _, key := range []string{"url", "version", "timeout", "token_dir"} {
		require.ErrorContains(t, err, key+": ")
	}
	for url, want := range map[string]string{
		"https://":               "names no host",
		"https://u:p@example.io": "no credentials",
		"https://example.io?a=b": "no query",
		"::":                     "not a URL",
	} {
		cfg := graph.DefaultConfig()
		cfg.URL = url
		require.ErrorContains(t, cfg.Validate(), want)
	}
}

// An access token in the clear is for whoever listens.
func TestClearTextIsForThisMachineOnly(t *testing.T) {
	t.Parallel()
	for address, refused := range map[string]bool{
		"http://localhost:8090": false, "http://LOCALHOST": false, "http://127.0.0.1:1": false, "http://127.1.2.3": false, "http://[::1]:80": false,
		"http://[::ffff:127.0.0.1]": false, "https://graph.facebook.com": false,
		"http://graph.facebook.com": true, "HTTP://graph.facebook.com": true, "http://10.0.0.1": true, "http://128.0.0.1": true, "http://[fe80::1]": true,
		"http://localhost.example": true, "http://127.0.0.1.example": true, "http://0.0.0.0:80": true,
	} {
		cfg := graph.DefaultConfig()
		cfg.URL = address
		err := cfg.Validate()
		if !refused {
			require.NoError(t, err, address)
			continue
		}
		require.ErrorIs(t, err, graph.ErrInClear)
		require.EqualError(t, err, "url: "+address+" would send access tokens over the network in the clear")
		cfg.Insecure = true
		require.NoError(t, cfg.Validate(), "whoever wants it")
	}
}
