package e2e_test

import (
	"crypto/sha256"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/deadletter"
)

// storeLetters makes the streams and puts letters of datasets 1 and 2 into them.
func (r *rig) storeLetters(invalid, refused int) {
	r.t.Helper()
	r.must("stream", "ensure")
	for i := range invalid + refused {
		letter := deadletter.Letter{
			Event: []byte(`{"event_name":"Purchase","user_data":{"em":"john@example.com"}}`), Dataset: "1", Reason: deadletter.Invalid,
			FirstSeen: time.Now(), DeadLetteredAt: time.Now(),
		}
		if i >= invalid {
			letter.Dataset, letter.Reason = "2", deadletter.Refused
		}
		_, err := r.js.PublishMsg(r.t.Context(), letter.Message("capi.dead", 1<<20))
		require.NoError(r.t, err)
	}
}

// Dead letters are removed by number and by filter, and never unasked.
func TestDeadLettersAreRemoved(t *testing.T) {
	t.Parallel()
	r := setup(t)
	r.storeLetters(30, 5)

	shown := r.must("dlq", "rm", "--all", "--dry-run")
	t.Logf("dlq rm\n%s", shown)
	listed, _, _ := strings.Cut(shown, "…")
	require.Equal(t, 21, strings.Count(listed, "\n"), "a bounded list")
	require.Contains(t, shown, "… and 15 more\n35 letters to remove\n  30 of dataset 1, invalid\n  5 of dataset 2, refused\n")
	require.NotContains(t, shown, "john")
	require.Equal(t, 35, r.size("CAPI_DLQ"))

	stdout, stderr, code := r.run("dlq", "rm", "--reason", "refused")
	require.Equal(t, 2, code, "nobody to ask")
	require.Contains(t, stdout, "5 letters to remove")
	require.Contains(t, stderr, "nothing is removed: say --yes")
	require.Equal(t, 35, r.size("CAPI_DLQ"))

	require.Contains(t, r.must("dlq", "rm", "--reason", "refused", "--yes"), "5 of 5 letters removed\n")
	require.Contains(t, r.must("dlq", "rm", "--dataset", "1", "--since", "1h", "--limit", "2", "--yes"), "2 of 2 letters removed\n")
	require.Contains(t, r.must("dlq", "rm", "7", "7", "8", "--yes"), "2 of 2 letters removed\n")
	stdout, stderr, code = r.run("dlq", "rm", "7", "9", "--yes")
	require.Equal(t, 3, code, stderr)
	require.Contains(t, stdout, "1 of 1 letter removed\n")
	require.Contains(t, stderr, "no such dead letter: number 7")
	require.Equal(t, "0 letters to remove\n", r.must("dlq", "rm", "--reason", "refused", "--yes"))
	require.Equal(t, 25, r.size("CAPI_DLQ"))

	for _, wrong := range [][]string{
		{"dlq", "rm"},
		{"dlq", "rm", "x"},
		{"dlq", "rm", "1", "--all"},
		{"dlq", "rm", "--all", "--yes", "--dry-run"},
		{"dlq", "rm", "--reason", "boredom", "--yes"},
	} {
		_, stderr, code := r.run(wrong...)
		require.Equal(t, 2, code, "%v: %s", wrong, stderr)
	}
	require.Contains(t, r.must("dlq", "rm", "--all", "--yes"), "25 of 25 letters removed\n")
	require.Zero(t, r.size("CAPI_DLQ"))
}

// The way to one person's letters that docs/security.md shows finds them, and
// leaves all others alone.
func TestAPersonsLettersAreRemovedAsDocumented(t *testing.T) {
	t.Parallel()
	r := setup(t)
	r.must("stream", "ensure")
	hash := fmt.Sprintf("%x", sha256.Sum256([]byte("john@example.com")))
	for _, text := range []string{
		`{"user_data":{"em":"John@Example.com"}}`,
		`{"user_data":{"em":"jane@example.com"},"sequence":4}`,
		`{"user_data":{"em":["` + hash + `"]},"sequence":4}`,
		`{"user_data":{"em":"joe@example.com"}}`,
		`{"john@example.com`,
	} {
		letter := deadletter.Letter{Event: []byte(text), Reason: deadletter.Invalid, FirstSeen: time.Now(), DeadLetteredAt: time.Now(), OriginSequence: 2}
		_, err := r.js.PublishMsg(t.Context(), letter.Message("capi.dead", 1<<20))
		require.NoError(t, err)
	}
	text, err := os.ReadFile("../../docs/security.md")
	require.NoError(t, err)
	script := regexp.MustCompile("(?s)```sh\n(capi-dispatcher dlq ls.*?)```").FindStringSubmatch(string(text))
	require.NotNil(t, script)
	binary, err := shipped()
	require.NoError(t, err)
	called := filepath.Join(t.TempDir(), "capi-dispatcher") // as people have it
	require.NoError(t, os.Symlink(binary, called))
	shell := exec.CommandContext(t.Context(), "sh", "-c", script[1])
	shell.Env = append(os.Environ(), "PATH="+filepath.Dir(called)+":"+os.Getenv("PATH"), "CAPI_NATS_URL="+r.nats.URL())
	out, err := shell.CombinedOutput()
	require.NoError(t, err, "%s", out)
	require.Contains(t, string(out), "3 of 3 letters removed\n")
	left := r.must("dlq", "ls", "--json")
	require.Contains(t, left, "jane")
	require.Contains(t, left, "joe")
	require.Equal(t, 2, strings.Count(left, "\n"))
}
