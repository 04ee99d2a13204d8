package graphtest_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/capi-dispatcher/capi-dispatcher/graph/graphtest"
)

// Other programs have webhooks sent to them, signed like Meta's: the vector was computed
// apart from this code.
func TestAWebhookIsSignedLikeMetas(t *testing.T) {
	t.Parallel()
	const body = `{"object":"whatsapp_business_account","entry":[]}`
	received := make(chan string, 1)
	program := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got, _ := io.ReadAll(r.Body)
		received <- r.Header.Get("X-Hub-Signature-256") + " " + string(got)
		w.WriteHeader(http.StatusServiceUnavailable)
	}))
	t.Cleanup(program.Close)
	api := httptest.NewServer(graphtest.New(graphtest.Config{}))
	t.Cleanup(api.Close)
	ask := func(body string) (int, string) {
		response, err := http.Post(api.URL+"/_control/webhooks", "application/json", strings.NewReader(body))
		require.NoError(t, err)
		defer func() { _ = response.Body.Close() }()
		text, err := io.ReadAll(response.Body)
		require.NoError(t, err)
		return response.StatusCode, string(text)
	}
	code, text := ask(`{"url":"` + program.URL + `","app_secret":"app-secret","body":` + body + `}`)
	require.Equal(t, 200, code)
	require.JSONEq(t, `{"status":503}`, text)
	require.Equal(t, "sha256=d3e4f9da0ce6c71ab3dba55929b8eeeee2455349e534924ead19f98d143e904f "+body, <-received)
	code, _ = ask(`{"url":"http://127.0.0.1:1","body":{}}`)
	require.Equal(t, 502, code)
}
