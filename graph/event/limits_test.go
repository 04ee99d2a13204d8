package event_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/capi-dispatcher/capi-dispatcher/graph/event"
)

// Of an event with thousands of faults the first are described, and the others
// counted.
func TestFaultsAreCapped(t *testing.T) {
	t.Parallel()
	for faulty, want := range map[int]int{1: 1, event.MaxFaults: event.MaxFaults, event.MaxFaults + 1: event.MaxFaults + 1, 700: event.MaxFaults + 1} {
		body := purchase().with("custom_data.contents", make([]int, faulty)).String()
		got, err := event.NewDecoder(event.DefaultRules()).Decode([]byte(body))
		require.NoError(t, err)
		faults := got.Events[0].Faults
		require.Len(t, faults, want)
		if last := faults[len(faults)-1]; faulty > event.MaxFaults {
			require.Equal(t, event.Fault{Code: event.MoreFaults, Message: fmt.Sprintf("… %d more faults", faulty-event.MaxFaults)}, last)
		} else {
			require.Equal(t, fmt.Sprint("/custom_data/contents/", faulty-1), last.Pointer)
		}
	}
}

// A member beyond the described faults still counts as faulty.
func TestFaultsBeyondTheCapCount(t *testing.T) {
	t.Parallel()
	many := `{"custom_data":{"contents":[` + strings.Repeat("0,", 2*event.MaxFaults) + `0]},"event_id":{},"user_data":7}`
	got, err := event.NewDecoder(event.DefaultRules()).Decode([]byte(many))
	require.NoError(t, err)
	require.Empty(t, got.Events[0].ID)
	faults := got.Events[0].Faults
	const missing = 3 // event_name, event_time, action_source
	require.Equal(t, fmt.Sprintf("… %d more faults", 2*event.MaxFaults+1+2+missing-event.MaxFaults), faults[event.MaxFaults].Message)
}

// A name as long as a message costs no guess at what was meant.
func TestHugeNamesGetNoSuggestion(t *testing.T) {
	t.Parallel()
	got, err := event.NewDecoder(event.DefaultRules()).Decode([]byte(instagramChat().with("event_name", strings.Repeat("Purchase", 100_000)).String()))
	require.NoError(t, err)
	require.Equal(t, `event_name is "`+strings.Repeat("Purchase", 5)+`"…, which business messaging does not know`, got.Events[0].Faults[0].Message)
}
