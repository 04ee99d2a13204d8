package e2e_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/capi-dispatcher/capi-dispatcher/config"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/admission"
)

func TestPublish(t *testing.T) {
	t.Parallel()
	r := setup(t)
	r.addDatasets(1)
	_, stderr, code := r.run("publish", "--dataset", datasetID(0), r.file("early.ndjson", event("a", "x")))
	require.Equal(t, 1, code)
	require.Contains(t, stderr, "no stream listens on capi.events."+datasetID(0))

	stdout, stderr, code := r.run("stream", "ensure")
	require.Zero(t, code, stderr)
	require.Contains(t, stdout, "streams CAPI, CAPI_PARKED and CAPI_DLQ are there")

	lines := event("a", "x") + "\n{\"broken\"\n\n" + `{"event_name":"Purchase"}` + "\n" + `{"data":[` + event("b", "x") + "," + event("c", "x") + "]}\n"
	stdout, stderr, code = r.run("publish", "--dataset", datasetID(0), r.file("events.ndjson", lines))
	require.Equal(t, 3, code, "done, but some input was refused")
	require.Regexp(t, `^3 events in 2 messages published to capi\.events\.\d+ in .*; 2 refused, 0 failed\n$`, stdout)
	require.Contains(t, stderr, "line 2: malformed JSON")
	require.Contains(t, stderr, "line 4: /event_time: every event has an event_time")
	require.Contains(t, stderr, "/action_source: every event has an action_source", "all faults at once")

	stream, err := r.js.Stream(t.Context(), "CAPI")
	require.NoError(t, err)
	first, err := stream.GetMsg(t.Context(), 1)
	require.NoError(t, err)
	require.Empty(t, first.Header.Get("Nats-Msg-Id"), "an id that another dataset has used would swallow it")

	stdout, stderr, code = r.runWith(strings.NewReader("["+event("d", "x")+","+event("e", "x")+"]"), "publish", "-", "--dataset", datasetID(0), "--json")
	require.Zero(t, code, stderr)
	var summary map[string]any
	require.NoError(t, json.Unmarshal([]byte(stdout), &summary))
	require.EqualValues(t, 2, summary["events"])

	r.start()
	r.await("all are accepted", func() bool { return len(r.Ledger().Counts()) == 5 })
}

func TestDeadLettersFromTheShell(t *testing.T) {
	t.Parallel()
	r := setup(t)
	r.addDatasets(2)
	_, stderr, code := r.run("dlq", "ls")
	require.Equal(t, 1, code)
	require.Contains(t, stderr, "there is no stream CAPI_DLQ")

	w := r.start()
	r.publishAll([]jetstreamMessage{
		{"capi.events." + datasetID(0), event("refused", "invalid")},
		{"capi.events." + datasetID(0), `{"event_name":"Purchase"}`},
		{"capi.events.auto", event("lost", "x")},
	})
	r.await("three letters", func() bool { return r.size("CAPI_DLQ") == 3 })

	stdout, stderr, code := r.run("dlq", "ls")
	require.Zero(t, code, stderr)
	t.Logf("dlq ls\n%s", stdout)
	for _, want := range []string{
		`(?m)^NUMBER +AGE +DATASET +REASON +TRIED +EVENT +WHY$`,
		`(?m)^\d +\d+[sm] +` + datasetID(0) + ` +refused +1 +Purchase +graph error 100/2804087: Messaging Event Invalid Ctwa Clid`,
		`(?m)^\d +\d+[sm] +` + datasetID(0) + ` +invalid +0 +Purchase +5 faults: every event has an event_time`,
		`(?m)^\d +\d+[sm] +- +no_dataset +0 +Purchase +/user_data`,
	} {
		require.Regexp(t, want, stdout)
	}
	stdout, _, code = r.run("dlq", "ls", "--reason", "no_dataset", "--json")
	require.Zero(t, code)
	var letter struct {
		Sequence uint64
		Event    struct {
			ID string `json:"event_id"`
		}
	}
	require.NoError(t, json.Unmarshal([]byte(stdout), &letter))
	require.Equal(t, "lost", letter.Event.ID)
	stdout, _, _ = r.run("dlq", "ls", "--code", "100/1")
	require.Empty(t, stdout)

	refused := regexp.MustCompile(`(?m)^(\d) .* refused `).FindStringSubmatch(r.must("dlq", "ls"))[1]
	shown := r.must("dlq", "show", refused)
	t.Logf("dlq show\n%s", shown)
	require.Contains(t, shown, "send the ctwa_clid exactly as the webhook gave it")
	require.Contains(t, shown, `"event_id": "refused"`)
	require.Contains(t, r.must("dlq", "show", refused, "--json"), `"sequence":`+refused)

	invalid := regexp.MustCompile(`(?m)^(\d) .* invalid `).FindStringSubmatch(r.must("dlq", "ls"))[1]
	shown = r.must("dlq", "show", invalid)
	t.Logf("dlq show\n%s", shown)
	for _, want := range []string{
		`(?m)^  /event_time +every event has an event_time, in seconds since 1970 \(missing; Meta: 100/2804019\)$`,
		`(?m)^  /custom_data/value +a Purchase has a value \(missing; Meta: 100/2804009\)$`,
		`(?m)^  /custom_data/currency +a Purchase has a currency, like USD \(missing; Meta: 100/2804010\)$`,
	} {
		require.Regexp(t, want, shown)
	}

	for _, wrong := range [][]string{
		{"dlq", "show"},
		{"dlq", "show", "x"},
		{"dlq", "replay"},
		{"dlq", "replay", "1", "--all"},
		{"dlq", "ls", "--reason", "boredom"},
		{"dlq", "ls", "--code", "x"},
		{"dlq", "ls", "extra"},
		{"dlq", "ls", "--nonsense"},
	} {
		_, stderr, code := r.run(wrong...)
		require.Equal(t, 2, code, "%v: %s", wrong, stderr)
		require.NotEmpty(t, stderr)
	}
	_, stderr, code = r.run("dlq", "show", "99")
	require.Equal(t, 1, code)
	require.Contains(t, stderr, "no such dead letter: number 99")

	// The account is given a dataset, and the lost event is replayed.
	w.stop()
	r.config.Assets.WhatsAppAccounts = map[string]admission.WhatsAppAccount{"102290129340398": {Dataset: datasetID(1)}}
	r.start()
	require.Contains(t, r.must("dlq", "replay", "--reason", "no_dataset", "--dry-run"), "1 letter would be replayed")
	require.Contains(t, r.must("dlq", "replay", "--reason", "no_dataset"), "1 of 1 letter replayed")
	r.await("it is accepted", func() bool { return r.Ledger().Totals(datasetID(1)).Events == 1 })
	require.Equal(t, 2, r.size("CAPI_DLQ"), "a replayed letter is deleted")
}

// A letter whose event has been accepted since, from another copy, is replayed
// into a duplicate.
func TestReplayingCannotSendTwice(t *testing.T) {
	t.Parallel()
	r := setup(t)
	r.addDatasets(1)
	w := r.start()
	r.publishAll([]jetstreamMessage{{"capi.events." + datasetID(0), event("a", "invalid")}})
	r.await("it is refused", func() bool { return r.size("CAPI_DLQ") == 1 })
	r.publishAll([]jetstreamMessage{{"capi.events." + datasetID(0), event("a", "corrected")}})
	r.await("a corrected copy is accepted", func() bool { return len(r.Ledger().Counts()) == 1 })
	require.Contains(t, r.must("dlq", "replay", "1", "--keep"), "1 of 1 letter replayed")
	r.await("the replayed event is a duplicate", func() bool { return w.metrics()[`capi_events_settled_total{outcome="duplicate"}`] == 1 })
	r.awaitQuiet()
	require.Equal(t, 1, r.size("CAPI_DLQ"), "it was kept, and made no new one")
}

func TestConfigurationFromTheShell(t *testing.T) {
	t.Parallel()
	r := setup(t)
	require.Equal(t, "the configuration is sound\n", r.must("config", "check"))
	require.Contains(t, r.must("config", "print"), "on_unknown: resend")
	var printed struct {
		NATS     struct{ Stream string }
		Delivery struct{ Senders int }
	}
	require.NoError(t, json.Unmarshal([]byte(r.must("config", "print", "--json")), &printed))
	require.Equal(t, "CAPI", printed.NATS.Stream)
	require.Equal(t, 32, printed.Delivery.Senders)
	var ensured struct {
		Streams  []string
		Consumer string
		Managed  bool
	}
	require.NoError(t, json.Unmarshal([]byte(r.must("stream", "ensure", "--json")), &ensured))
	require.Equal(t, []string{"CAPI", "CAPI_PARKED", "CAPI_DLQ"}, ensured.Streams)
	require.Equal(t, "capi-dispatcher", ensured.Consumer)
	require.True(t, ensured.Managed)
	r.config.NATS.Replicas, r.config.Log.Level = 9, "loud"
	for _, verb := range [][]string{{"config", "check"}, {"run"}, {"publish", "-"}, {"dlq", "ls"}} {
		_, stderr, code := r.run(verb...)
		require.Equal(t, 2, code)
		require.Equal(t, "log.level: \"loud\" is neither debug, info, warn nor error\nnats.replicas: 9 is not between 1 and 5\n", stderr)
	}
}

func TestWhatCannotWorkEndsAtOnce(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		change func(*config.Config)
		code   int
		want   string
	}{
		"no streams":    {func(c *config.Config) { c.NATS.Manage = false }, 2, "stream CAPI does not exist; create it, or set nats.manage to true"},
		"no tokens":     {func(c *config.Config) { c.Graph.TokenDir = "/nowhere" }, 1, "graph.token_dir: stat /nowhere"},
		"no app secret": {func(c *config.Config) { c.Graph.AppSecretFile = "/nowhere" }, 1, "graph.app_secret_file: "},
		"no creds":      {func(c *config.Config) { c.NATS.CredsFile = "/nowhere" }, 1, "nats.creds_file: "},
		"no password":   {func(c *config.Config) { c.Redis.PasswordFile = "/nowhere" }, 1, "redis.password_file: "},
		"port in use":   {func(c *config.Config) { c.Admin.Address = strings.TrimPrefix(c.Graph.URL, "http://") }, 1, "admin.address: "},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := setup(t)
			r.config.Graph.URL = "http://" + r.graph.address
			tc.change(&r.config)
			_, stderr, code := r.run("run")
			require.Equal(t, tc.code, code)
			require.Contains(t, stderr, tc.want)
		})
	}
}

func TestHelp(t *testing.T) {
	t.Parallel()
	r := setup(t)
	for _, verb := range []string{"", "run", "publish", "validate", "test-event", "dlq", "dlq ls", "dlq show", "dlq replay", "dlq rm", "config", "config check", "config print", "schema", "explain", "stream", "stream ensure"} {
		help := r.must(append(strings.Fields(verb), "--help")...)
		require.Contains(t, help, "Usage:\n  capi-dispatcher")
		if strings.Count(verb, " ") == 1 || verb == "run" || verb == "publish" {
			require.Contains(t, help, "Examples:", verb)
		}
	}
	require.Contains(t, r.must("--version"), "go1.")
	for _, shell := range []string{"bash", "zsh", "fish"} {
		require.NotEmpty(t, r.must("completion", shell))
	}
}

// Shells are told what can be written.
func TestCompletion(t *testing.T) {
	t.Parallel()
	r := setup(t)
	r.config.Assets.Pages = map[string]admission.Asset{"1061": {Dataset: "4711"}}
	require.NoError(t, os.WriteFile(filepath.Join(r.config.Graph.TokenDir, "1234567890"), []byte(token), 0o600))
	file := r.configFile()
	for _, tc := range []struct {
		args []string
		want []string
	}{
		{[]string{"dlq", "ls", "--reason", ""}, []string{"malformed", "unknown_outcome"}},
		{[]string{"dlq", "rm", "--reason", "re"}, []string{"refused", "restricted_region"}},
		{[]string{"publish", "--dataset", ""}, []string{"auto", "4711", "1234567890"}},
		{[]string{"dlq", "replay", "--dataset", "4"}, []string{"4711"}},
		{[]string{"dlq", "ls", "--code", "100/"}, []string{"100/33", "100/2804066"}},
		{[]string{"explain", "19"}, []string{"190"}},
		{[]string{"schema", ""}, []string{"event", "asyncapi"}},
	} {
		offered := r.must(append([]string{"__complete", "--config", file}, tc.args...)...)
		for _, want := range tc.want {
			require.Regexp(t, "(?m)^"+want+"(\t|$)", offered, tc.args)
		}
	}
	require.NotContains(t, r.must("__complete", "test-event", "--code", ""), "190", "a test code is none of Meta's errors")
}

// must runs a verb that has to do well.
func (r *rig) must(args ...string) string {
	r.t.Helper()
	stdout, stderr, code := r.run(args...)
	require.Zero(r.t, code, stderr)
	return stdout
}

func (r *rig) file(name, text string) string {
	r.t.Helper()
	path := filepath.Join(r.dir, name)
	require.NoError(r.t, os.WriteFile(path, []byte(text), 0o600))
	return path
}
