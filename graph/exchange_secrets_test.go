package graph_test

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/capi-dispatcher/capi-dispatcher/graph"
	"github.com/capi-dispatcher/capi-dispatcher/graph/graphtest"
)

func TestTokenAndProof(t *testing.T) {
	t.Parallel()
	requests := make(chan *http.Request, 1)
	bodies := make(chan string, 1)
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, request *http.Request) {
		body, _ := io.ReadAll(request.Body)
		requests <- request
		bodies <- string(body)
	}))
	t.Cleanup(server.Close)
	r := setup(t, func(cfg *graph.Config) {
		cfg.URL = server.URL
		cfg.AppSecretFile = writeFile(t, t.TempDir(), "secret", "app-secret\n")
		writeFile(t, cfg.TokenDir, dataset, "token-abc")
	})
	r.send(t, `{"a":1}`)
	request := <-requests
	require.Equal(t, "Bearer token-abc", request.Header.Get("Authorization"))
	require.Equal(t, "/v26.0/"+dataset+"/events", request.RequestURI, "nothing secret in the URL")
	require.Equal(t, "application/json", request.Header.Get("Content-Type"))
	require.Empty(t, request.Header.Get("Idempotency-Key"), "net/http would send such a request twice")
	require.JSONEq(t, `{"data":[{"a":1}],"partner_agent":"acme",
		"appsecret_proof":"64ad4b31c7b1a1447bd689c4c0b82425f01d8a3da1ce7a8eb468cc17c0e9d787"}`, <-bodies)
}

func TestProofErrorsPause(t *testing.T) {
	t.Parallel()
	r := setup(t, nil)
	r.Script(dataset, graphtest.Fault{Error: &graphtest.Error{
		Code: 100, Type: "GraphMethodException", Message: "Invalid appsecret_proof provided in the API argument",
	}})
	require.Equal(t, graph.Paused, r.send(t, sampleEvents(1)...).Verdict)
}

// Graph repeats a token that it finds malformed.
func TestATokenInAnAnswerIsNotRepeated(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string]graphtest.Fault{
		"message": {Error: &graphtest.Error{Code: 190, Message: "Malformed access token " + token}},
		"title":   {Error: &graphtest.Error{Code: 100, UserTitle: "Bad " + token, UserMessage: "No, not " + token}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := setup(t, nil)
			r.Always(dataset, fault)
			answer := r.send(t, sampleEvents(1)...)
			require.Contains(t, answer.Detail(), "[redacted]")
			require.NotContains(t, fmt.Sprintf("%+v %+v", answer, answer.Error), token)
			_, err := r.Dataset(t.Context(), graph.Asset{Kind: graph.Page, ID: dataset})
			require.Error(t, err)
			require.NotContains(t, err.Error(), token)
		})
	}
}

// What comes back may repeat what was sent. What is made of it for logs, traces
// and conditions does not.
func TestAReasonQuotesNothingThatCame(t *testing.T) {
	t.Parallel()
	const person = "jane@example.com"
	for name, fault := range map[string]graphtest.Fault{
		"an error":                   {Error: &graphtest.Error{Code: 100, Subcode: 2804019, Message: person, UserTitle: person, UserMessage: person, Type: person}},
		"an error that nobody knows": {Error: &graphtest.Error{Code: 99_999, Message: person}},
		"an error that pauses":       {Error: &graphtest.Error{Code: 190, Message: person}},
		"names that are none":        {Status: 400, Body: `{"error":{"code":100,"fbtrace_id":"` + person + `"}}`},
		"remarks":                    {Status: 200, Body: `{"events_received":0,"messages":["` + person + `"],"fbtrace_id":"` + person + `"}`},
		"another body":               {Status: 500, Body: person},
		"another version":            {Status: 200, Body: `{}`, Header: map[string]string{"Facebook-Api-Version": person}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := setup(t, nil)
			r.Always(dataset, fault)
			answer := r.send(t, sampleEvents(1)...)
			require.NotEqual(t, graph.Accepted, answer.Verdict)
			require.NotContains(t, answer.Reason()+answer.TraceID+answer.Version, person)
			if answer.Error != nil {
				require.NotContains(t, answer.Error.Error(), person)
			}
			_, err := r.Dataset(t.Context(), graph.Asset{Kind: graph.Page, ID: dataset})
			require.NotContains(t, fmt.Sprint(err), person)
		})
	}
	r := setup(t, nil)
	r.Always(dataset, graphtest.Fault{Error: &graphtest.Error{Code: 100, UserTitle: "Title", UserMessage: "no such " + person}})
	answer := r.send(t, sampleEvents(1)...)
	require.Equal(t, "graph error 100: Title: no such "+person, answer.Detail())
}

// A server that speaks no HTTP may say anything, and the words of a library's
// error quote it.
func TestABrokenExchangeIsPutInOurOwnWords(t *testing.T) {
	t.Parallel()
	const person = "jane@example.com"
	for _, spoken := range []string{
		person + "\r\n\r\n", "HTTP/1.1 " + person + " x\r\n\r\n", "HTTP/1.1 200 OK\r\n" + person + "\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: " + person + "\r\n\r\n",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + person + "\r\n",
	} {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		done := make(chan struct{})
		go func() {
			defer close(done)
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			_, _ = conn.Read(make([]byte, 64<<10))
			_, _ = io.WriteString(conn, spoken)
			_ = conn.Close()
		}()
		r := setup(t, func(cfg *graph.Config) { cfg.URL = "http://" + listener.Addr().String() })
		answer := r.send(t, sampleEvents(1)...)
		require.Equal(t, graph.Unknown, answer.Verdict)
		require.NotContains(t, answer.Reason()+answer.Detail(), person)
		require.NotEmpty(t, answer.Reason())
		require.NoError(t, listener.Close())
		<-done
	}
}

func TestAProxysPasswordIsNotRepeated(t *testing.T) {
	t.Parallel()
	transport := graph.NewTransport(1)
	transport.Proxy = func(*http.Request) (*url.URL, error) {
		const address = "http://user:hush%zz@proxy:1"
		return nil, fmt.Errorf("invalid proxy address %q: %w", address, url.EscapeError("%zz")) // as net/http puts it
	}
	cfg := graph.DefaultConfig()
	cfg.TokenDir = t.TempDir()
	writeFile(t, cfg.TokenDir, "default", token)
	client, err := graph.New(cfg, transport)
	require.NoError(t, err)
	answer := client.Send(t.Context(), graph.Request{Dataset: dataset, Events: [][]byte{[]byte("{}")}})
	require.Equal(t, "the proxy's address in the environment is not a URL", answer.Reason())
}

// A token may be a letter, a member's name or a figure: answers are read all the
// same, and where Graph repeats it as a word it is taken out.
func TestShortTokensLeaveAnswersReadable(t *testing.T) {
	t.Parallel()
	for _, short := range []string{"t", "data", "1", "id", "events_received", "e"} {
		t.Run(short, func(t *testing.T) {
			t.Parallel()
			const page, itsDataset = "11", "1010101"
			r := setup(t, func(cfg *graph.Config) {
				writeFile(t, cfg.TokenDir, dataset, short)
				writeFile(t, cfg.TokenDir, page, short)
			})
			r.AddDataset(dataset, short)
			r.AddAsset(graphtest.Asset{ID: page, Kind: graphtest.Page, Dataset: itsDataset, Tokens: []string{short}, Listed: true})

			answer := r.send(t, sampleEvents(1)...)
			require.Equal(t, graph.Accepted, answer.Verdict, answer.Reason())
			require.Equal(t, 1, answer.Received)
			id, err := r.Dataset(t.Context(), graph.Asset{Kind: graph.Page, ID: page})
			require.NoError(t, err)
			require.Equal(t, itsDataset, id)

			r.Always(dataset, graphtest.Fault{Error: &graphtest.Error{Code: 190, Message: "Malformed token «" + short + "», tested"}})
			answer = r.send(t, sampleEvents(1)...)
			require.Equal(t, graph.Paused, answer.Verdict, answer.Reason())
			require.Equal(t, "Malformed token «[redacted]», tested", answer.Error.Message)
		})
	}
}

func TestNoTokenPauses(t *testing.T) {
	t.Parallel()
	r := setup(t, nil)
	answer := r.Send(t.Context(), graph.Request{Dataset: "555", Events: [][]byte{[]byte(`{}`)}})
	require.Equal(t, graph.Paused, answer.Verdict)
	require.ErrorIs(t, answer.Cause, graph.ErrNoToken)
	require.ErrorContains(t, answer.Cause, filepath.Join(r.cfg.TokenDir, "555"))
	require.Zero(t, r.Ledger().Sum().Requests)
}

func TestMissingAppSecret(t *testing.T) {
	t.Parallel()
	cfg := graph.DefaultConfig()
	cfg.AppSecretFile = filepath.Join(t.TempDir(), "nowhere")
	_, err := graph.New(cfg, nil)
	require.ErrorContains(t, err, "app_secret_file: ")
}
