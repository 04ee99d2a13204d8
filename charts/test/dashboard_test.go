package test_test

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/promqltest"
	"github.com/stretchr/testify/require"
)

// panel is one of the dashboard's.
type panel struct {
	Type, Title, Description string
	Targets                  []struct {
		Expr     string
		Legend   string `json:"legendFormat"`
		Exemplar bool
	}
	FieldConfig struct {
		Defaults struct{ Unit string }
	}
}

func dashboard(t *testing.T) []panel {
	t.Helper()
	var read struct{ Panels []panel }
	require.NoError(t, json.Unmarshal([]byte(readFile(t, chartDir+"/dashboards/capi-dispatcher.json")), &read))
	require.Greater(t, len(read.Panels), 20)
	return read.Panels
}

// asGrafana fills in what Grafana does.
func asGrafana(expr string) string {
	return strings.NewReplacer("$__rate_interval", "2m", "$namespace", ".*", "$pod", ".*", "$dataset", ".*").Replace(expr)
}

func dashboardExpressions(t *testing.T) (all []string) {
	t.Helper()
	for _, panel := range dashboard(t) {
		for _, target := range panel.Targets {
			all = append(all, asGrafana(target.Expr))
		}
	}
	return all
}

// prometheus holds a run, and answers queries at its end as Prometheus does, whose
// storage and engine these are.
type prometheus struct {
	t       *testing.T
	storage *promqltest.LazyLoader
	end     time.Time
}

func loaded(t *testing.T, r *run) *prometheus {
	t.Helper()
	begin := r.ended.Add(-time.Duration(len(r.scrapes)-1) * scrapeEvery)
	storage, err := promqltest.NewLazyLoader(r.load(), promqltest.LazyLoaderOpts{StartTime: begin})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, storage.Close()) })
	storage.WithSamplesTill(r.ended, func(err error) { require.NoError(t, err) })
	return &prometheus{t: t, storage: storage, end: r.ended}
}

func (p *prometheus) query(expr string) promql.Vector {
	p.t.Helper()
	query, err := p.storage.QueryEngine().NewInstantQuery(p.t.Context(), p.storage.Queryable(), nil, asGrafana(expr), p.end)
	require.NoError(p.t, err, expr)
	defer query.Close()
	vector, err := query.Exec(p.t.Context()).Vector()
	require.NoError(p.t, err, expr)
	return vector
}

// value is the one value of an expression.
func (p *prometheus) value(expr string) float64 {
	p.t.Helper()
	vector := p.query(expr)
	require.Len(p.t, vector, 1, expr)
	return vector[0].F
}

// After a run in which some of everything has happened, no panel is empty, and none
// shows what is no number. Each has a name and, but for rows, a query.
func TestNoPanelIsEmpty(t *testing.T) {
	t.Parallel()
	p := loaded(t, observedRun(t))
	titles := make(map[string]bool)
	for _, panel := range dashboard(t) {
		if panel.Type == "row" {
			require.True(t, strings.HasSuffix(panel.Title, "?"), "the rows are the questions")
			continue
		}
		require.NotEmpty(t, panel.Targets, panel.Title)
		titles[panel.Title] = true
		for _, target := range panel.Targets {
			vector := p.query(target.Expr)
			require.NotEmpty(t, vector, "%s: %s", panel.Title, target.Expr)
			for _, sample := range vector {
				require.False(t, math.IsNaN(sample.F) || math.IsInf(sample.F, 0), "%s: %s", panel.Title, sample)
			}
			histogram := strings.HasPrefix(target.Expr, "histogram_quantile") && !strings.Contains(target.Expr, "claims")
			require.Equal(t, histogram, target.Exemplar, "%s: exemplars of traces", panel.Title)
		}
	}
	require.Greater(t, len(titles), 30)
}

// The guide shows what each panel has shown after a run. UPDATE_DOCS=1 writes it; the
// values differ from run to run, the panels do not.
func TestThePanelsAreDocumented(t *testing.T) {
	t.Parallel()
	p := loaded(t, observedRun(t))
	rows := []string{"| panel | shows |", "|---|---|"}
	for _, panel := range dashboard(t) {
		if panel.Type == "row" {
			rows = append(rows, "| **"+panel.Title+"** | |")
			continue
		}
		var shown []string
		for _, target := range panel.Targets {
			for _, sample := range p.query(target.Expr) {
				shown = append(shown, legend(target.Legend, sample.Metric)+" "+humanized(sample.F, panel.FieldConfig.Defaults.Unit))
			}
		}
		slices.Sort(shown)
		if len(shown) > 6 {
			shown = append(shown[:6], "…")
		}
		rows = append(rows, "| "+panel.Title+" | "+strings.Join(shown, ", ")+" |")
	}
	table := strings.Join(rows, "\n") + "\n"
	if os.Getenv("UPDATE_DOCS") != "" {
		document(t, "panels", table)
		return
	}
	_, have, _ := cutPart(t, readFile(t, guide), "panels")
	firsts := regexp.MustCompile(`(?m)^\| .*? \|`)
	require.Equal(t, firsts.FindAllString(table, -1), firsts.FindAllString(have, -1))
}

// legend is what Grafana calls a series.
func legend(format string, series labels.Labels) string {
	if format == "__auto" || format == "" {
		var words []string
		series.Range(func(l labels.Label) { words = append(words, l.Value) })
		return strings.Join(words, " ")
	}
	return regexp.MustCompile(`\{\{(\w+)\}\}`).ReplaceAllStringFunc(format, func(name string) string {
		return series.Get(strings.Trim(name, "{}"))
	})
}

func humanized(value float64, unit string) string {
	switch unit {
	case "s":
		return time.Duration(value * float64(time.Second)).Round(time.Millisecond).String()
	case "percentunit":
		return fmt.Sprintf("%.3g %%", 100*value)
	case "cps", "reqps":
		return fmt.Sprintf("%.3g/s", value)
	case "bytes", "decbytes":
		return fmt.Sprintf("%.3g kB", value/1000)
	default:
		return fmt.Sprintf("%.4g", value)
	}
}

// What panels say is what has happened.
func TestThePanelsTellTheTruth(t *testing.T) {
	t.Parallel()
	r := observedRun(t)
	p := loaded(t, r)
	require.InDelta(t, r.accepted, p.value(`sum(capi_events_settled_total{outcome="accepted"})`), 0, "as the simulated API has counted")
	shown := make(map[string]promql.Vector)
	for _, panel := range dashboard(t) {
		for _, target := range panel.Targets {
			shown[panel.Title] = append(shown[panel.Title], p.query(target.Expr)...)
		}
	}
	require.Len(t, shown["Conditions"], 7)
	for _, condition := range shown["Conditions"] {
		require.InDelta(t, 1, condition.F, 0, condition.Metric.Get("condition"))
	}
	require.InDelta(t, 1, shown["In time"][0].F, 0, "what the producer published too late does not count")
	names := make(map[string]string)
	for _, trouble := range shown["Datasets whose events wait"] {
		names[trouble.Metric.Get("dataset")] = trouble.Metric.Get("reason")
	}
	require.Equal(t, map[string]string{
		"2": "paused", "3": "throttled", "5": "refused", "6": "unlinked", "8": "failing", "auto": "unlinked",
	}, names)
	letters := make(map[string]bool)
	for _, sample := range shown["Dead letters in the last hour"] {
		letters[sample.Metric.Get("reason")] = sample.F > 0
	}
	for _, reason := range []string{"expired", "malformed", "refused"} {
		require.True(t, letters[reason], "%s: the panel shows the first dead letter, too", reason)
	}
	require.False(t, letters["invalid"])
	require.InDelta(t, 18, shown["Dead letters"][0].F, 0, "ten of dataset 1, and eight of dataset 5")
	require.InDelta(t, 0, shown["Books"][0].F, 0)
	require.InDelta(t, 20, shown["Meta's limits"][0].F, 0)
	require.Greater(t, shown["First to expire"][0].F, (6 * 24 * time.Hour).Seconds())
}
