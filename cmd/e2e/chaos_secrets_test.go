package e2e_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"

	"github.com/stretchr/testify/require"
)

// person is in every personal datum of a chaos run.
const person = "jane.roe"

// withPerson adds personal data in the clear to an event's user_data.
func withPerson(event, members string) string {
	return strings.Replace(event, `"user_data":{`, `"user_data":{`+members+`,`, 1)
}

// telemetry takes traces and metrics, and looks for secrets in them.
type telemetry struct {
	bodies atomic.Int64
	leak   atomic.Pointer[string]
}

func (o *telemetry) ServeHTTP(_ http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // its sender was killed
	}
	o.bodies.Add(1)
	if err := secretIn(string(body)); err != nil {
		text := r.URL.Path + ": " + err.Error()
		o.leak.Store(&text)
	}
}

// secretIn looks for what must not be written.
func secretIn(text string) error {
	for _, secret := range []string{token, person} {
		if i := strings.Index(strings.ToLower(text), strings.ToLower(secret)); i >= 0 {
			return fmt.Errorf("%q in …%s…", secret, text[max(0, i-200):min(len(text), i+200)])
		}
	}
	return nil
}

// startTelemetry has all workers trace and measure to a collector.
func (c *chaos) startTelemetry() {
	c.telemetry = &telemetry{}
	server := httptest.NewServer(c.telemetry)
	c.t.Cleanup(server.Close)
	c.env = []string{
		"OTEL_EXPORTER_OTLP_ENDPOINT=" + server.URL, "OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf",
		"OTEL_BSP_SCHEDULE_DELAY=500", "OTEL_METRIC_EXPORT_INTERVAL=1000",
	}
}

// requireNothingSecret asserts that nothing which the run has written holds a
// token or personal data: logs at the lowest level, traces and metrics as they
// were sent, what the admin port says, and dead letters.
func (c *chaos) requireNothingSecret() {
	c.t.Helper()
	written := make(map[string]string)
	for i, w := range c.workers {
		for _, path := range []string{"/metrics", "/readyz"} {
			text, err := w.get(path)
			require.NoError(c.t, err)
			written[fmt.Sprint("worker ", i, " ", path)] = text
		}
	}
	for _, w := range c.workers {
		w.stop() // and flush
	}
	written["log"] = c.logs()
	letters, err := json.Marshal(c.lettersAtLast())
	require.NoError(c.t, err)
	written["dead letters"] = string(letters)
	for where, text := range written {
		require.NotEmpty(c.t, text, where)
		require.NoError(c.t, secretIn(text), where)
	}
	if leak := c.telemetry.leak.Load(); leak != nil {
		c.t.Fatal(*leak)
	}
	require.Positive(c.t, c.telemetry.bodies.Load())
	c.t.Logf("no token and no personal data in %d kB of logs, %d kB of dead letters, %d exports of traces and metrics",
		len(written["log"])>>10, len(letters)>>10, c.telemetry.bodies.Load())
}
