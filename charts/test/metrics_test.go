package test_test

import (
	"cmp"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// reportedMetric is a metric as the program describes it to Prometheus.
type reportedMetric struct {
	kind, help string
	labels     map[string]bool
}

// metrics are what a run has reported, by name, but for those of Go and of the
// process.
func (r *run) metrics(t *testing.T) map[string]*reportedMetric {
	t.Helper()
	all := make(map[string]*reportedMetric)
	described := regexp.MustCompile(`(?m)^# (HELP|TYPE) (capi_\S+) (.*)$`)
	for _, text := range r.scrapes {
		for _, found := range described.FindAllStringSubmatch(text, -1) {
			if all[found[2]] == nil {
				all[found[2]] = &reportedMetric{labels: make(map[string]bool)}
			}
			if found[1] == "TYPE" {
				all[found[2]].kind = found[3]
			} else {
				all[found[2]].help = found[3]
			}
		}
	}
	for _, series := range r.series(t) {
		name := series.Get("__name__")
		found := all[cmp.Or(cutHistogram(name, all), name)]
		for label := range series.Map() {
			if found != nil && label != "__name__" && label != "le" {
				found.labels[label] = true
			}
		}
	}
	return all
}

// cutHistogram is the name of the histogram that a series belongs to.
func cutHistogram(name string, all map[string]*reportedMetric) string {
	for _, suffix := range []string{"_bucket", "_sum", "_count"} {
		if base, ok := strings.CutSuffix(name, suffix); ok && all[base] != nil && all[base].kind == "histogram" {
			return base
		}
	}
	return ""
}

// The table of metrics in the guide is what a real worker reports: names with their
// units, kinds, labels, and what the program says of each. UPDATE_DOCS=1 writes it.
func TestMetricsAreDocumented(t *testing.T) {
	t.Parallel()
	all := observedRun(t).metrics(t)
	requireAllReported(t, all)
	rows := []string{"| metric | kind | labels | what |", "|---|---|---|---|"}
	for _, name := range slices.Sorted(maps.Keys(all)) {
		m := all[name]
		require.NotEmpty(t, m.help, name)
		require.False(t, m.kind == "histogram" && m.labels["dataset"], "%s: no histogram is by dataset", name)
		labels := slices.Sorted(maps.Keys(m.labels))
		for i := range labels {
			labels[i] = "`" + labels[i] + "`"
		}
		rows = append(rows, fmt.Sprintf("| `%s` | %s | %s | %s. |", name, m.kind, strings.Join(labels, ", "), m.help))
	}
	requireDocumented(t, "metrics", rows)
}

// The table of alerts in the guide has each, as it is by default.
func TestAlertsAreDocumented(t *testing.T) {
	t.Parallel()
	label := regexp.MustCompile(`\{\{ \$labels\.(\w+) \}\}`)
	rows := []string{"| alert | what it says | for | severity | layer |", "|---|---|---|---|---|"}
	for _, a := range alerts(t, "prometheusRule: {alerts: {tokenOld: {enabled: true}}}") {
		summary := label.ReplaceAllString(a.Annotations["summary"], "*$1*")
		rows = append(rows, fmt.Sprintf("| [%s](runbooks.md#%s) | %s | %s | %s | %s |", a.Alert, strings.ToLower(a.Alert), summary,
			a.For, a.Labels["severity"], a.Labels["layer"]))
	}
	requireDocumented(t, "alerts", rows)
}

const guide = "../../docs/observability.md"

// requireDocumented holds a part of the guide against what it should be, or writes it
// with UPDATE_DOCS=1.
func requireDocumented(t *testing.T, part string, rows []string) {
	t.Helper()
	want := strings.Join(rows, "\n") + "\n"
	if os.Getenv("UPDATE_DOCS") != "" {
		document(t, part, want)
		return
	}
	_, have, _ := cutPart(t, readFile(t, guide), part)
	require.Equal(t, want, have, "write it anew: cd charts/test && UPDATE_DOCS=1 go test -run 'Documented|Panel' .")
}

var writing sync.Mutex

func document(t *testing.T, part, text string) {
	t.Helper()
	writing.Lock()
	defer writing.Unlock()
	before, _, after := cutPart(t, readFile(t, guide), part)
	require.NoError(t, os.WriteFile(guide, []byte(before+text+after), 0o644))
}

// cutPart cuts a text around a part that is marked in it.
func cutPart(t *testing.T, text, part string) (before, within, after string) {
	t.Helper()
	begin, end := "<!-- "+part+": begin -->\n", "<!-- "+part+": end -->"
	before, rest, ok := strings.Cut(text, begin)
	require.True(t, ok, part)
	within, after, ok = strings.Cut(rest, end)
	require.True(t, ok, part)
	return before + begin, within, end + after
}

// requireAllReported holds what was reported against the instruments in the source:
// none is missing because nothing has happened to it.
func requireAllReported(t *testing.T, reported map[string]*reportedMetric) {
	t.Helper()
	names := slices.Collect(maps.Keys(reported))
	files, err := filepath.Glob("../../dispatcher/*/*.go")
	require.NoError(t, err)
	instrument, count := regexp.MustCompile(`(?:counter|seconds|gauge|Gauge|Counter|Histogram|Observe|\))\((?:meter, )?"(capi\.[a-z_.]+)"`), 0
	for _, file := range append(files, "../../dispatcher/observe.go", "../../cmd/internal/telemetry/spans.go") {
		for _, found := range instrument.FindAllStringSubmatch(readFile(t, file), -1) {
			if strings.HasSuffix(file, "_test.go") {
				continue
			}
			count++
			name := strings.ReplaceAll(found[1], ".", "_")
			require.True(t, slices.ContainsFunc(names, func(n string) bool { return strings.HasPrefix(n, name) }), "%s is not reported", found[1])
		}
	}
	require.GreaterOrEqual(t, count, len(reported), "where are the others made?")
}
