package e2e_test

import (
	"strings"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"github.com/stretchr/testify/require"
)

// metrics reads /metrics: each counter and gauge summed up by its name, and by
// its name and outcome.
func (w *worker) metrics() map[string]int {
	w.t.Helper()
	text, err := w.get("/metrics")
	require.NoError(w.t, err)
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(strings.NewReader(text))
	require.NoError(w.t, err)
	sums := make(map[string]int)
	for name, family := range families {
		for _, m := range family.GetMetric() {
			value := int(m.GetCounter().GetValue() + m.GetGauge().GetValue())
			sums[name] += value
			for _, label := range m.GetLabel() {
				if label.GetName() == "outcome" {
					sums[name+`{outcome="`+label.GetValue()+`"}`] += value
				}
			}
		}
	}
	return sums
}
