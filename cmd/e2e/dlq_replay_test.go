package e2e_test

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/deadletter"
)

// Two people replay the same letters: who comes second finds some of them done,
// and that is as good.
func TestReplayingTwiceAtOnce(t *testing.T) {
	t.Parallel()
	r := setup(t)
	const letters = 200
	r.storeLetters(letters, 0)
	numbers := make([]string, letters)
	for i := range numbers {
		numbers[i] = strconv.Itoa(i + 1)
	}
	type result struct {
		out, errs string
		code      int
	}
	results := make(chan result, 2)
	for range cap(results) {
		go func() {
			var did result
			did.out, did.errs, did.code = r.run(append([]string{"dlq", "replay"}, numbers...)...)
			results <- did
		}()
	}
	for range cap(results) {
		did := <-results
		require.Zero(t, did.code, did.errs)
		require.Regexp(t, fmt.Sprintf(`^\d+ of %d letters replayed`, letters), did.out)
	}
	require.Zero(t, r.size("CAPI_DLQ"))
	require.Equal(t, "0 of 2 letters replayed, 2 not there any more\n", r.must("dlq", "replay", "1", "2"))
	_, stderr, code := r.run("dlq", "replay", "1", "99999")
	require.Equal(t, 1, code, "no letter ever had that number")
	require.Contains(t, stderr, "no such dead letter: number 99999")
}

// What fails a hundred times is said once.
func TestFailuresOfAReplayAreSummedUp(t *testing.T) {
	t.Parallel()
	r := setup(t)
	r.storeLetters(1, 0)
	for range 100 {
		letter := deadletter.Letter{
			Event: []byte(strings.Repeat("x", 2000)), Dataset: "1", Reason: deadletter.TooLarge, FirstSeen: time.Now(), DeadLetteredAt: time.Now(),
		}
		_, err := r.js.PublishMsg(t.Context(), letter.Message("capi.dead", 1500))
		require.NoError(t, err)
	}
	stdout, stderr, code := r.run("dlq", "replay", "--all")
	require.Equal(t, 1, code)
	require.Equal(t, "1 of 101 letters replayed\n", stdout)
	require.Regexp(t, `(?s)^not replayed: 100 letters:\n  dead letter 2 holds only a part of the event.* \(and 99 more like this\)\n$`, stderr)
}
