package e2e_test

import (
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
		_, err := r.js.PublishMsg(r.t.Context(), letter.Message("capi.dead"))
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
	require.Equal(t, 21, strings.Count(shown[:strings.Index(shown, "…")], "\n"), "a bounded list")
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
