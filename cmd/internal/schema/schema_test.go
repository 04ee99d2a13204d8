package schema_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.yaml.in/yaml/v3"

	"github.com/capi-dispatcher/capi-dispatcher/cmd/internal/admin"
	"github.com/capi-dispatcher/capi-dispatcher/cmd/internal/schema"
	"github.com/capi-dispatcher/capi-dispatcher/config"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/admission"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/health"
	"github.com/capi-dispatcher/capi-dispatcher/docs"
	"github.com/capi-dispatcher/capi-dispatcher/graph/event"
)

// described is one of the descriptions, as JSON.
func described(t *testing.T, kind string, change ...func(*config.Config)) []byte {
	t.Helper()
	cfg := config.Default()
	for _, c := range change {
		c(&cfg)
	}
	text, err := schema.Marshal(schema.Of(kind, &cfg))
	require.NoError(t, err)
	return text
}

// compiled compiles what a JSON pointer leads to.
func compiled(t *testing.T, kind, pointer string, change ...func(*config.Config)) *jsonschema.Schema {
	t.Helper()
	document, err := jsonschema.UnmarshalJSON(bytes.NewReader(described(t, kind, change...)))
	require.NoError(t, err)
	compiler := jsonschema.NewCompiler()
	compiler.DefaultDraft(jsonschema.Draft2020)
	require.NoError(t, compiler.AddResource("document.json", document))
	made, err := compiler.Compile("document.json#" + pointer)
	require.NoError(t, err)
	return made
}

// Those who read docs/schema see what the program says. UPDATE_DOCS=1 writes the
// files anew.
func TestTheFilesInDocsAreTheProgramsOwn(t *testing.T) {
	t.Parallel()
	for _, kind := range schema.Kinds() {
		file, text := filepath.Join("..", "..", "..", "docs", "schema", kind+".json"), described(t, kind)
		if os.Getenv("UPDATE_DOCS") != "" {
			require.NoError(t, os.WriteFile(file, text, 0o644))
		}
		written, err := os.ReadFile(file)
		require.NoError(t, err)
		require.Equal(t, string(text), string(written), "make it anew: UPDATE_DOCS=1 go test ./cmd/internal/schema")
	}
	require.Nil(t, schema.Of("x", nil))
}

// configured holds a configuration file against the schema.
func configured(t *testing.T, made *jsonschema.Schema, text string) error {
	t.Helper()
	var tree any
	require.NoError(t, yaml.Unmarshal([]byte(text), &tree))
	asJSON, err := json.Marshal(tree)
	require.NoError(t, err)
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(asJSON))
	require.NoError(t, err)
	return made.Validate(value)
}

// The schema of the configuration takes the defaults and every example, and says
// of wrong keys and types what loading says.
func TestConfig(t *testing.T) {
	t.Parallel()
	made := compiled(t, "config", "")
	preset := config.Default()
	text, err := preset.YAML()
	require.NoError(t, err)
	require.NoError(t, configured(t, made, text))
	examples := regexp.MustCompile("(?s)```yaml\n(.*?)```").FindAllStringSubmatch(docs.Configuration(), -1)
	require.NotEmpty(t, examples)
	for _, example := range examples {
		require.NoError(t, configured(t, made, example[1]), example[1])
	}
	for text, sound := range map[string]bool{
		"nats: {replicas: 3}": true, "nats:\n": true, "batch: {max_bytes: 900KB}": true, "batch: {max_bytes: 1.5 MB}": true,
		"batch: {max_bytes: [1]}": false, "batch: {max_bytes: much}": false, "batch: {linger: 250ms}": true, "batch: {linger: 0m1.5s}": true,
		"batch: {linger: 250}": false, "batch: {linger: soon}": false, "nats: {manage: perhaps}": false, "nats: 7": false,
		"graph: {restricted_countries: [DE, FR]}": true, "graph: {restricted_countries: 'DE,FR'}": true,
		"datasets: {'1': {partner_agent: a}}": true, "datasets: {'1': {x: a}}": false, "datasets: {'1': 7}": false,
		"assets: {pages: {'1': {dataset: 2}}}": true, "assets: {pages: {'1': {datum: 2}}}": false, "assets: {x: {}}": false,
		"nats: {urls: x}": false, "nats: {tls: {x: y}}": false, "x: 1": false,
	} {
		require.Equal(t, sound, configured(t, made, text) == nil, text)
		file := filepath.Join(t.TempDir(), "config.yaml")
		require.NoError(t, os.WriteFile(file, []byte(text), 0o600))
		_, err := config.Load(file, nil)
		require.Equal(t, sound, err == nil, "%s: %v", text, err)
	}
}

func TestEveryKeyIsDescribed(t *testing.T) {
	t.Parallel()
	text := string(described(t, "config"))
	require.NotContains(t, text, `"description": ""`)
	for _, key := range config.Keys() {
		words := strings.Split(key, ".")
		require.Contains(t, text, `"`+words[len(words)-1]+`": {`, key)
	}
	require.Contains(t, text, `"default": "250ms"`)
}

// Every header that there is, is described where it may be.
func TestAsyncAPINamesEveryHeader(t *testing.T) {
	t.Parallel()
	text := string(described(t, "asyncapi"))
	source, err := os.ReadFile(filepath.Join("..", "..", "..", "dispatcher", "header", "header.go"))
	require.NoError(t, err)
	names := regexp.MustCompile(`= "([A-Za-z-]+)"`).FindAllStringSubmatch(string(source), -1)
	require.NotEmpty(t, names)
	for _, name := range names {
		require.Contains(t, text, `"`+name[1]+`": {`)
	}
	require.NotContains(t, text, `"": {`)
	var document struct {
		Channels   map[string]struct{ Address string }
		Operations map[string]struct {
			Channel struct {
				Ref string `json:"$ref"`
			}
		}
	}
	require.NoError(t, json.Unmarshal([]byte(text), &document))
	require.Equal(t, "capi.events.{dataset}", document.Channels["events"].Address)
	for name, operation := range document.Operations {
		require.Contains(t, document.Channels, strings.TrimPrefix(operation.Channel.Ref, "#/channels/"), name)
	}
	payload := compiled(t, "asyncapi", "/components/schemas/message/schema")
	require.NoError(t, payload.Validate(map[string]any{"data": []any{soundEvent()}}))
	require.Error(t, payload.Validate(map[string]any{"data": []any{}}))
}

// What a worker fills in, its schema does not call for.
func TestWhatIsFilledInIsNotCalledFor(t *testing.T) {
	t.Parallel()
	user := map[string]any{"page_scoped_user_id": "7"}
	chat := map[string]any{"event_name": "LeadSubmitted", "event_time": json.Number("1675999999"), "messaging_channel": "messenger", "user_data": user}
	fill := func(pages ...string) func(*config.Config) {
		return func(c *config.Config) {
			c.Graph.DefaultActionSource, c.Graph.FillAccounts = event.BusinessMessaging, true
			c.Assets.Pages = make(map[string]admission.Asset)
			for _, page := range pages {
				c.Assets.Pages[page] = admission.Asset{Dataset: "1"}
			}
		}
	}
	for kind, pointer := range map[string]string{"event": "", "asyncapi": "/components/schemas/message/schema"} {
		require.Error(t, compiled(t, kind, pointer).Validate(chat), kind)
		require.NoError(t, compiled(t, kind, pointer, fill("1061")).Validate(chat), kind)
		require.Error(t, compiled(t, kind, pointer, fill("1061", "1062")).Validate(chat), "nobody knows which")
		require.Error(t, compiled(t, kind, pointer, fill("1061")).Validate(map[string]any{"event_name": "x"}), kind)
	}
}

func soundEvent() map[string]any {
	return map[string]any{
		"event_name": "Contact", "event_time": json.Number("1675999999"), "action_source": "other",
		"user_data": map[string]any{"external_id": "7"},
	}
}

// What the admin port answers is what is described.
func TestOpenAPIIsWhatTheAdminPortAnswers(t *testing.T) {
	t.Parallel()
	var document struct {
		Paths map[string]map[string]struct{ Responses map[string]any }
	}
	require.NoError(t, json.Unmarshal(described(t, "openapi"), &document))
	for _, conditions := range [][]health.Condition{
		{{Name: "redis", OK: true, Since: time.Now()}, {Name: "rights", Warning: true, Reason: "x"}},
		{{Name: "redis", Reason: "away"}},
	} {
		listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
		require.NoError(t, err)
		metrics := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("x 1\n")) })
		port := admin.Serve(listener, config.Admin{}, admin.Pages{Metrics: metrics, Conditions: func() []health.Condition { return conditions }, LogLevel: zap.NewAtomicLevel()})
		t.Cleanup(func() { _ = port.Stop(t.Context()) })
		for path, methods := range document.Paths {
			status, body := get(t, "http://"+port.Address()+path)
			require.Contains(t, methods["get"].Responses, strconv.Itoa(status), path)
			if path == "/readyz" {
				pointer := fmt.Sprintf("/paths/~1readyz/get/responses/%d/content/application~1json/schema", status)
				value, err := jsonschema.UnmarshalJSON(bytes.NewReader(body))
				require.NoError(t, err)
				require.NoError(t, compiled(t, "openapi", pointer).Validate(value))
			}
		}
	}
}

func get(t *testing.T, url string) (int, []byte) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	require.NoError(t, err)
	response, err := http.DefaultClient.Do(request)
	require.NoError(t, err)
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	return response.StatusCode, body
}
