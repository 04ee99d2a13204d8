package dispatcher

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/parked"
	"github.com/capi-dispatcher/capi-dispatcher/graph"
)

// Whatever Meta says that keeps events from being sent: they are parked for a
// reason of their own, and called back with their dataset.
func TestEveryVerdictThatParksIsCalledBack(t *testing.T) {
	t.Parallel()
	words := map[graph.Verdict]string{
		graph.Unknown: "unknown", graph.Retry: "retry", graph.Throttled: "throttled", graph.Paused: "paused", graph.Refused: "refused",
	}
	whole := parked.Group{Dataset: "1"}
	for _, verdict := range graph.Verdicts() {
		reason := reasonToPark(verdict)
		require.True(t, whole.Covers(reason), verdict)
		if verdict != graph.Accepted { // which parks nothing
			require.Equal(t, words[verdict], string(reason), "what other versions look for")
		}
	}
}
