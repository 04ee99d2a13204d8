package parked_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/parked"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/retry"
)

// The oldest event is known for as long as it is parked again and again, and not
// much longer.
func TestTheOldestEventsAreKnown(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const most = 15 * time.Minute
		oldest := parked.NewOldest(parked.Waits{Backoff: retry.Backoff{Initial: time.Minute, Max: most}})
		require.Empty(t, oldest.All())
		begun, paused := time.Now(), parked.Kind{Reason: parked.Paused, Known: true}
		old := parked.Ages{Kind: paused, Since: begun, Expires: begun.Add(7 * 24 * time.Hour)}
		for range 10 {
			now := time.Now()
			oldest.Note(old)
			oldest.Note(parked.Ages{Kind: paused, Since: now, Expires: now.Add(time.Hour)})
			time.Sleep(most * 9 / 8) // the longest wait
			all := oldest.All()
			require.Len(t, all, 1)
			require.Equal(t, begun, all[0].Since)
		}
		oldest.Note(parked.Ages{Kind: parked.Kind{Reason: parked.Unlinked}, Since: time.Now(), Expires: time.Now()})
		require.Len(t, oldest.All(), 2, "by kind")
		time.Sleep(3 * most) // none was parked again
		require.Empty(t, oldest.All())
		oldest.Note(old)
		oldest.Clear()
		require.Empty(t, oldest.All())
	})
}
