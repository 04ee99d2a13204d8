package dispatcher

import (
	"errors"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/retry"
	"github.com/capi-dispatcher/capi-dispatcher/graph"
	"github.com/capi-dispatcher/capi-dispatcher/graph/event"
)

// After an hour a person hears which accounts are waited for, and events flow all the same.
func TestAccountsThatAreWaitedForForLongAreNamed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a := newAccounts(retry.Backoff{Initial: time.Minute, Max: 15 * time.Minute})
		page := &entry{lane: lane{dataset: "1"}, event: event.Event{Assets: event.Assets{Page: "106", WhatsApp: "102"}}}
		asked := graph.Asset{Kind: graph.InstagramUser, ID: "77"}
		for range 60 {
			require.True(t, a.condition(time.Now()).OK)
			a.failed(page, &graph.Answer{Cause: errors.New("not linked")})
			a.notFound(asked, time.Now().Add(time.Minute))
			time.Sleep(time.Minute)
		}
		c := a.condition(time.Now())
		require.False(t, c.OK)
		require.False(t, c.Blocks())
		require.Contains(t, c.Reason, "page 106 and WhatsApp Business Account 102 of dataset 1")
		require.Contains(t, c.Reason, asked.String())
		require.Len(t, a.troubles(time.Now()), 2, "an alert can see both")

		a.found(asked)
		a.succeeded([]*entry{page})
		require.True(t, a.condition(time.Now()).OK)
		for i := range 9 {
			a.notFound(graph.Asset{Kind: graph.Page, ID: strconv.Itoa(i)}, time.Now().Add(2*time.Hour))
		}
		time.Sleep(unlinkedWorries)
		require.Contains(t, a.condition(time.Now()).Reason, "4 more")
	})
}
