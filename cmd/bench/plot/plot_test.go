package plot_test

import (
	"encoding/xml"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/capi-dispatcher/capi-dispatcher/cmd/bench/plot"
)

func TestWhatIsDrawn(t *testing.T) {
	t.Parallel()
	for name, panels := range map[string][]plot.Panel{
		"nothing":   nil,
		"one point": {{Title: "a", Points: []plot.Point{{Label: "1", X: 1, Y: 2}}}},
		"zeros":     {{Title: "a", Points: []plot.Point{{Label: "1", X: 1}, {Label: "2", X: 2}}}},
		"two rows": {
			{Title: "a < b & c", Points: []plot.Point{{Label: "1", X: 1, Y: 10}, {Label: "1,000", X: 1000, Y: 20}}},
			{Title: "b"},
			{Title: "c"},
			{Title: "d"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var out strings.Builder
			require.NoError(t, plot.SVG(&out, panels))
			require.NotContains(t, out.String(), "NaN")
			require.NotContains(t, out.String(), "Inf")
			titles := 0
			for decoder := xml.NewDecoder(strings.NewReader(out.String())); ; {
				token, err := decoder.Token()
				if errors.Is(err, io.EOF) {
					break
				}
				require.NoError(t, err)
				if start, ok := token.(xml.StartElement); ok && start.Name.Local == "g" {
					titles++
				}
			}
			require.Equal(t, len(panels), titles)
		})
	}
}

// X is logarithmic: what is ten times as much is as far away, wherever it begins.
func TestTheScale(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	require.NoError(t, plot.SVG(&out, []plot.Panel{{Points: []plot.Point{{X: 1, Y: 1}, {X: 10, Y: 1}, {X: 100, Y: 1}}}}))
	require.Contains(t, out.String(), `d="M50.0 50.4L160.0 50.4L270.0 50.4"`)
}
