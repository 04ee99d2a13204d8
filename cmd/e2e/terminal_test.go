package e2e_test

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"github.com/capi-dispatcher/capi-dispatcher/graph/graphtest"
)

// hostile would clear the screen, change its title and colours, write from right
// to left, and forge a row.
const hostile = "\x1b]0;owned\x07\x1b[2J\u009b31m\u202eevil\u2066\u200f\u061c\u2028\u200b\x7f\ttab\n9999  1s  -  forged"

// inJSON is the hostile text as a producer may write it: what JSON allows as it
// is, and the rest as escapes.
func inJSON(t *testing.T) string {
	t.Helper()
	quoted, err := json.Marshal(hostile)
	require.NoError(t, err)
	return string(quoted)
}

func requireHarmless(t *testing.T, text string) {
	t.Helper()
	for _, r := range text {
		require.True(t, unicode.IsGraphic(r) && r != unicode.ReplacementChar || r == '\n' || r == '\t', "%q in %q", r, text)
	}
	require.NotRegexp(t, `(?m)^9999`, text, "a forged row")
}

// Whatever is published, and whatever Meta answers, what is printed of it is
// text.
func TestNothingForeignControlsTheTerminal(t *testing.T) {
	t.Parallel()
	r := setup(t)
	r.addDatasets(1)
	w := r.start()
	named := strings.Replace(event("a", "clid"), `"Purchase"`, inJSON(t), 1)
	r.publishAll([]jetstreamMessage{
		{"capi.events." + datasetID(0), `{"event_name":` + inJSON(t) + `,"x":{` + inJSON(t) + ":1}}"},
		{"capi.events." + datasetID(0), `{"x":"` + "\x1b[2J\x9b2J" + `"`},
	})
	r.await("they are dead letters", func() bool { return r.size("CAPI_DLQ") == 2 })
	w.stop()
	requireHarmless(t, r.logs())
	faults, err := json.Marshal([]map[string]string{{"pointer": "/" + hostile, "code": hostile, "message": hostile}})
	require.NoError(t, err)
	header := func(text string) []string { return []string{strings.ReplaceAll(text, "\n", " ")} }
	_, err = r.js.PublishMsg(t.Context(), &nats.Msg{Subject: "capi.dead.x.refused", Data: []byte(named), Header: nats.Header{
		"Capi-Reason": header("refused"), "Capi-Dataset-Id": header(hostile), "Capi-Detail": {string(faults)}, "Capi-Graph-Message": header(hostile),
		"Capi-Fbtrace-Id": header(hostile), "Capi-Envelope": header(hostile), "Capi-Origin-Subject": header(hostile), "Capi-Dedupe-Id": header(hostile),
	}})
	require.NoError(t, err)
	r.Always(datasetID(0), graphtest.Fault{Error: &graphtest.Error{Code: 100, Subcode: 33, Message: hostile, UserTitle: hostile, UserMessage: hostile}})
	file := r.file("events.ndjson", named+"\n"+`{"event_name":`+inJSON(t)+"}\n{\"\x1b[2J\x9b\": tru}\n")
	letters := []string{"1", "2", "3"}
	for _, verb := range [][]string{
		{"dlq", "ls"},
		{"dlq", "ls", "--json"},
		append([]string{"dlq", "show"}, letters...),
		append([]string{"dlq", "show", "--json"}, letters...),
		append([]string{"dlq", "replay", "--dry-run"}, letters...),
		{"dlq", "show", hostile},
		{"validate", file},
		{"validate", "--json", file},
		{"validate", hostile},
		{"publish", file},
		{"test-event", "--anyway", "--dataset", datasetID(0), "--code", hostile, file},
		{"test-event", "--anyway", "--json", "--dataset", datasetID(0), "--code", hostile, file},
		{"dataset", "get", "--page", datasetID(0)},
		{"explain", hostile},
		{"doctor", "--timeout", "5s"},
		{"--config", "/nowhere/" + header(hostile)[0], "config", "check"},
		{hostile},
	} {
		stdout, stderr, _ := r.run(verb...)
		require.NotEmpty(t, stdout+stderr, verb)
		requireHarmless(t, stdout)
		requireHarmless(t, stderr)
		for line := range strings.SplitSeq(stdout, "\n") {
			if strings.HasPrefix(line, "{") && strings.HasSuffix(line, "}") && len(line) > 2 {
				require.True(t, json.Valid([]byte(line)), line)
			}
		}
	}
	require.Contains(t, r.must("dlq", "ls"), `\x1b]0;owned\x07`)
}

// What Graph repeats of a token is not shown to whoever tries an event.
func TestTryingAnEventShowsNoToken(t *testing.T) {
	t.Parallel()
	r := setup(t)
	r.addDatasets(1)
	leaked := "EAA" + strings.Repeat("Bx7", 60)
	r.Always(datasetID(0), graphtest.Fault{Error: &graphtest.Error{Code: 190, Message: "Malformed access token " + token + " or " + leaked}})
	file := r.file("event.json", strings.Replace(event("a", "clid"), `{"event_name"`, `{"access_token":"`+leaked+`","event_name"`, 1))
	for _, more := range [][]string{nil, {"--json"}} {
		stdout, stderr, code := r.run(append([]string{"test-event", "--dataset", datasetID(0), "--code", "T", file}, more...)...)
		require.Equal(t, 3, code)
		require.Contains(t, stdout, "Malformed access token [redacted] or [redacted]")
		require.NotContains(t, stdout+stderr, token)
		require.NotContains(t, stdout+stderr, leaked)
	}
}

// No form of an address shows its password, whatever verb complains of it.
func TestAnAddressShowsNoPassword(t *testing.T) {
	t.Parallel()
	r := setup(t)
	for _, url := range []string{"nats://user:hush%zz@127.0.0.1:1", "user:hush@127.0.0.1:1", "hush@127.0.0.1", "nats://u:1,hush@127.0.0.1:1"} {
		r.env = []string{"CAPI_NATS_URL=" + url}
		for _, verb := range [][]string{{"run"}, {"config", "check"}, {"doctor"}, {"dlq", "ls"}} {
			stdout, stderr, code := r.run(verb...)
			require.Equal(t, 2, code, stderr)
			require.Contains(t, stderr, "nats.url: ")
			require.NotContains(t, stdout+stderr, "hush")
			require.NotContains(t, stdout+stderr, "zz")
		}
	}
}
