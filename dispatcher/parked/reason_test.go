package parked_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/parked"
)

// The words are those of messages that another version has parked.
func TestReasons(t *testing.T) {
	t.Parallel()
	whole, unlinked := parked.Group{Dataset: "1"}, parked.Group{Dataset: "1", Unlinked: true}
	const byWhole, byUnlinked, byItself = "with the dataset", "when an account is linked", "at its own time"
	words := map[string]string{
		"paused": byWhole, "throttled": byWhole, "retry": byWhole, "unknown": byWhole, "refused": byWhole, "congested": byWhole,
		"unlinked": byUnlinked, "not_yet": byItself, "no_answer": byItself, "no_webhook": byItself,
	}
	require.Len(t, parked.Reasons(), len(words))
	for _, reason := range parked.Reasons() {
		comes := byItself
		switch {
		case whole.Covers(reason):
			comes = byWhole
			require.False(t, unlinked.Covers(reason))
		case unlinked.Covers(reason):
			comes = byUnlinked
		}
		require.Equal(t, words[string(reason)], comes, reason)
	}
	for _, another := range []parked.Reason{"", "accepted", "of another version"} {
		require.False(t, whole.Covers(another))
		require.False(t, unlinked.Covers(another))
	}
}
