package e2e_test

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/capi-dispatcher/capi-dispatcher/graph/graphtest"
)

// Bodies of a thousand events weigh what their events weigh, and not what the
// messages do: the worker stays small, and another dataset's events flow beside
// them.
func TestMemoryWithBodiesOfAThousand(t *testing.T) {
	t.Parallel()
	const bodies, most = 600, 150 << 20
	for name, tc := range map[string]struct {
		body func(i int) string
		good int // how many of the other dataset's events have to get through
	}{
		"small events, and Meta takes its time": {func(i int) string { return bodyOfAThousand(strconv.Itoa(i)) }, 40},
		"empty objects":                         {func(int) string { return `{"data":[` + strings.Repeat("{},", 999) + `{}]}` }, bodies},
	} {
		t.Run(name, func(t *testing.T) {
			r := setup(t, asShipped)
			r.addDatasets(2)
			r.Always(datasetID(0), graphtest.Fault{Accept: true, AnswerDelay: 500 * time.Millisecond})
			_, stderr, code := r.run("stream", "ensure")
			require.Zero(t, code, stderr)
			var messages []jetstreamMessage
			for i := range bodies {
				messages = append(messages, jetstreamMessage{"capi.events." + datasetID(0), tc.body(i)},
					jetstreamMessage{"capi.events." + datasetID(1), event(fmt.Sprint("good", i), "ARAkLk")})
			}
			r.publishAll(messages)
			w := r.launch(shipped)
			r.awaitFor(5*time.Minute, "the other dataset's events are accepted", func() bool {
				return r.Ledger().Totals(datasetID(1)).Events >= tc.good
			})
			peak := w.peakMemory()
			t.Logf("%d MB at the most", peak>>20)
			require.Less(t, peak, most)
		})
	}
}

func bodyOfAThousand(prefix string) string {
	events := make([]string, 1000)
	for i := range events {
		events[i] = event(prefix+"-"+strconv.Itoa(i), "ARAkLk")
	}
	return `{"data":[` + strings.Join(events, ",") + `]}`
}
