package e2e_test

import (
	"bufio"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/stretchr/testify/require"

	"github.com/capi-dispatcher/capi-dispatcher/config"
	"github.com/capi-dispatcher/capi-dispatcher/internal/porttest"
	"github.com/capi-dispatcher/capi-dispatcher/internal/secret"
)

// What is wrong with a server is said in words that tell what to do.
func TestServersThatCannotBeUsedAreNamed(t *testing.T) {
	t.Parallel()
	r := setup(t)
	bare, err := server.NewServer(&server.Options{Host: "127.0.0.1", Port: porttest.Port(t), NoSigs: true, NoLog: true})
	require.NoError(t, err)
	bare.Start()
	t.Cleanup(bare.Shutdown)
	require.True(t, bare.ReadyForConnections(30*time.Second))
	events := r.file("events.ndjson", event("a", "x"))

	lead := r.lead
	r.lead = func(cfg *config.Config) { lead(cfg); cfg.NATS.URL = secret.URLs(bare.ClientURL()) }
	for _, verb := range [][]string{{"stream", "ensure"}, {"dlq", "ls"}, {"publish", "--dataset", datasetID(0), events}, {"doctor"}} {
		stdout, stderr, code := r.run(verb...)
		require.Equal(t, 1, code, verb)
		require.Contains(t, stdout+stderr, "start nats-server with -js", verb)
	}
	w := r.launch(program)
	r.await("the worker says so", func() bool { return strings.Contains(w.readiness().reason("events"), "start nats-server with -js") })
	w.stop()

	bare.Shutdown()
	for _, verb := range [][]string{{"stream", "ensure"}, {"dlq", "ls"}, {"publish", "--dataset", datasetID(0), events}} {
		_, stderr, code := r.run(verb...)
		require.Equal(t, 1, code, verb)
		require.Contains(t, stderr, "not connected: nobody answers there", verb)
	}
	w = r.launch(program)
	r.await("the worker says so", func() bool { return w.readiness().reason("events") == "stream CAPI: not connected to NATS" })
	require.NotContains(t, r.logs(), "outbound buffer")
}

func TestInputsThatHoldNoEvents(t *testing.T) {
	t.Parallel()
	r := setup(t)
	r.addDatasets(1)
	r.must("stream", "ensure")
	test := []string{"test-event", "--dataset", datasetID(0), "--code", "TEST1"}
	empty, marked := r.file("empty", ""), r.file("marked.ndjson", "\ufeff"+event("a", "x"))
	for _, tc := range []struct {
		verb []string
		file string
		code int
		says string
	}{
		{[]string{"validate"}, r.dir, 2, r.dir + " is a directory; name a file\n"},
		{[]string{"publish"}, r.dir, 2, r.dir + " is a directory; name a file\n"},
		{test, r.dir, 2, r.dir + " is a directory; name a file\n"},
		{[]string{"validate"}, empty, 0, "the input holds no events\n"},
		{[]string{"publish"}, empty, 0, "the input holds no events\n"},
		{test, empty, 2, "the input holds no event to send\n"},
		{[]string{"validate"}, marked, 0, "1 event, 0 faults"},
		{[]string{"publish", "--dataset", datasetID(0)}, marked, 0, ""},
		{test, marked, 0, ""},
	} {
		_, stderr, code := r.run(append(tc.verb, tc.file)...)
		require.Equal(t, tc.code, code, "%v %s: %s", tc.verb, tc.file, stderr)
		require.Contains(t, stderr, tc.says, "%v %s", tc.verb, tc.file)
	}
	r.config.Graph.TokenDir = t.TempDir()
	stdout, stderr, code := r.run(append(test, marked)...)
	require.Equal(t, 2, code)
	require.Empty(t, stdout, "nothing was sent")
	require.Regexp(t, "^no access token for dataset "+datasetID(0)+": put one into ", stderr)
}

// Ctrl-C ends a verb that waits for its input, and it says so.
func TestAnInterruptionIsCalledSo(t *testing.T) {
	t.Parallel()
	r := setup(t)
	r.must("stream", "ensure")
	binary, err := shipped()
	require.NoError(t, err)
	for _, verb := range []string{"validate", "publish"} {
		cmd := exec.CommandContext(t.Context(), binary, verb, "-", "--dataset", "1", "--config", r.configFile())
		input, err := cmd.StdinPipe()
		require.NoError(t, err)
		said, say, err := os.Pipe()
		require.NoError(t, err)
		cmd.Stdout, cmd.Stderr = say, say
		require.NoError(t, cmd.Start())
		require.NoError(t, say.Close())
		_, err = io.WriteString(input, "hello\n"+event("a", "x")+"\n"+`{"event_name":"Purch`)
		require.NoError(t, err)
		lines := bufio.NewReader(said)
		first, err := lines.ReadString('\n')
		require.NoError(t, err)
		require.Contains(t, first, "line 1: malformed")
		require.NoError(t, cmd.Process.Signal(os.Interrupt))
		rest, err := io.ReadAll(lines)
		require.NoError(t, err)
		require.Error(t, cmd.Wait())
		require.Equal(t, 1, cmd.ProcessState.ExitCode(), "%s: %s", verb, rest)
		require.Regexp(t, `(^|\n)interrupted\n$`, string(rest), verb)
		require.NotContains(t, string(rest), "malformed", "what was begun is no line")
	}
}
