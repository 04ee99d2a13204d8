package graph_test

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/capi-dispatcher/capi-dispatcher/graph"
	"github.com/capi-dispatcher/capi-dispatcher/graph/event"
)

// swallow reads requests and accepts them, without a network.
type swallow struct{ answer string }

func (s swallow) RoundTrip(r *http.Request) (*http.Response, error) {
	if _, err := io.Copy(io.Discard, r.Body); err != nil {
		return nil, err
	}
	return &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(s.answer))}, nil
}

// BenchmarkSend builds a request and reads its answer; the network costs
// nothing. Bytes per second are of the events.
func BenchmarkSend(b *testing.B) {
	cfg := graph.DefaultConfig()
	cfg.TokenDir = b.TempDir()
	require.NoError(b, os.WriteFile(filepath.Join(cfg.TokenDir, "default"), []byte("token"), 0o600))
	for _, size := range []int{1, 100, 1000} {
		b.Run(fmt.Sprintf("%d events", size), func(b *testing.B) {
			client, err := graph.New(cfg, swallow{fmt.Sprintf(`{"events_received":%d,"messages":[],"fbtrace_id":"A"}`, size)})
			require.NoError(b, err)
			request := graph.Request{Dataset: "1", Envelope: event.Envelope{PartnerAgent: "acme"}, Events: make([][]byte, size)}
			for i := range request.Events {
				request.Events[i] = []byte(`{"event_name":"Purchase","event_time":1675999999,"x":"` + strings.Repeat("x", 250) + `"}`)
			}
			b.SetBytes(int64(size * len(request.Events[0])))
			b.ReportAllocs()
			for b.Loop() {
				if answer := client.Send(b.Context(), request); answer.Verdict != graph.Accepted {
					b.Fatal(answer.Reason())
				}
			}
		})
	}
}
