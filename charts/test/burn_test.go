package test_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Of so many events in each five minutes, so many are late, for some hours from the
// second day on. The error budget burns as fast as the alerts say, and each goes
// out again when it does not burn any more.
func TestTheErrorBudgetBurns(t *testing.T) {
	t.Parallel()
	const step = 2 * time.Minute
	for name, tc := range map[string]struct {
		late, of int // in each step
		lasts    time.Duration
		fire     []string // the others stay silent
	}{
		"all in time":                 {0, 1000, 24 * time.Hour, nil},
		"no events at all":            {0, 0, 24 * time.Hour, nil},
		"one of two hundred":          {5, 1000, 24 * time.Hour, nil},
		"one of fifty for an hour":    {20, 1000, time.Hour, nil},
		"one of fifty for two days":   {20, 1000, 48 * time.Hour, []string{"Late3d"}},
		"a tenth for half an hour":    {100, 1000, 30 * time.Minute, nil},
		"a tenth for six hours":       {100, 1000, 6 * time.Hour, []string{"Late6h", "Late3d"}},
		"a third for fifty minutes":   {333, 1000, 50 * time.Minute, []string{"Late1h", "Late3d"}},
		"all for six hours":           {1000, 1000, 6 * time.Hour, []string{"Late1h", "Late6h", "Late3d"}},
		"all of very few for an hour": {2, 2, time.Hour, []string{"Late1h", "Late6h", "Late3d"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			before, during, after := int(24*time.Hour/step), int(tc.lasts/step), int(10*time.Hour/step)
			good, begun := tc.of-tc.late, tc.of*(before+1)
			series := fmt.Sprintf("capi_events_timely_total{result=\"late\"} 0x%d %d+%dx%d %dx%d\n", before, tc.late, tc.late, during, tc.late*(during+1), after) +
				fmt.Sprintf("capi_events_timely_total{result=\"in_time\"} 0+%dx%d %d+%dx%d %d+%dx%d\n", tc.of, before, begun, good, during,
					begun+good*during, tc.of, after) +
				fmt.Sprintf("capi_events_timely_total{result=\"published_late\"} 0+100x%d", before+during+after)
			fired := play(t, series, time.Duration(before+during+after)*step, step, "capi:events_late", "CapiDispatcherLate")
			var which []string
			for _, alert := range []string{"Late1h", "Late6h", "Late3d"} {
				times := fired.at("CapiDispatcher" + alert)
				if len(times) == 0 {
					continue
				}
				which = append(which, alert)
				require.GreaterOrEqual(t, times[0], time.Duration(before)*step, alert)
				require.Less(t, times[len(times)-1], time.Duration(before+during)*step+8*time.Hour, "%s does not end", alert)
			}
			require.Equal(t, tc.fire, which)
		})
	}
}
