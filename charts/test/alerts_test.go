package test_test

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/promql/promqltest"
	"github.com/stretchr/testify/require"
)

// rule is one alert of a PrometheusRule.
type rule struct {
	Alert, Expr, For    string
	Labels, Annotations map[string]string
}

func alerts(t *testing.T, values ...string) []rule {
	t.Helper()
	r := render(t, append([]string{"prometheusRule: {enabled: true}"}, values...)...)
	found := custom[struct {
		Spec struct {
			Groups []struct{ Rules []rule }
		}
	}](r, "PrometheusRule", fullname)
	require.Len(t, found.Spec.Groups, 1)
	return found.Spec.Groups[0].Rules
}

func alert(t *testing.T, name string, values ...string) rule {
	t.Helper()
	for _, a := range alerts(t, values...) {
		if a.Alert == name {
			return a
		}
	}
	require.Fail(t, "no such alert", name)
	return rule{}
}

func parse(t *testing.T, expr string) parser.Expr {
	t.Helper()
	tree, err := parser.NewParser(parser.Options{}).ParseExpr(expr)
	require.NoError(t, err, expr)
	return tree
}

// selectors lists what an expression asks for: names of metrics, and of labels
// with the values they must have.
func selectors(t *testing.T, expr string) (all []*parser.VectorSelector) {
	t.Helper()
	parser.Inspect(parse(t, expr), func(node parser.Node, _ []parser.Node) error {
		if selector, ok := node.(*parser.VectorSelector); ok {
			all = append(all, selector)
		}
		return nil
	})
	return all
}

// Each alert says what it means and what to do.
func TestEveryAlertHasARunbook(t *testing.T) {
	t.Parallel()
	guide := readFile(t, "../../docs/deploy.md")
	all := alerts(t)
	require.Len(t, all, 13)
	for _, a := range all {
		require.Contains(t, guide, "\n#### "+a.Alert+"\n", "docs/deploy.md does not explain the alert")
		require.True(t, strings.HasSuffix(a.Annotations["runbook_url"], "/docs/deploy.md#"+strings.ToLower(a.Alert)))
		require.NotEmpty(t, a.Annotations["summary"])
		require.NotEmpty(t, a.Annotations["description"])
		require.Contains(t, []string{"critical", "warning"}, a.Labels["severity"])
		for _, text := range a.Annotations {
			require.NotContains(t, text, "SELECTOR")
		}
		for _, s := range selectors(t, a.Expr) {
			require.Equal(t, []string{"capi", fullname + "-.*"}, []string{matcher(s, "namespace"), matcher(s, "pod")}, a.Expr)
		}
		require.NotContains(t, a.Expr, "THRESHOLD")
	}
}

func matcher(s *parser.VectorSelector, label string) string {
	for _, m := range s.LabelMatchers {
		if m.Name == label {
			return m.Value
		}
	}
	return ""
}

// Given what the program reports, each alert fires when it should, and only
// then. The series are minutes; "fires" is asked at the given minute.
func TestAlertsFire(t *testing.T) {
	t.Parallel()
	const settled = `capi_events_settled_total{dataset="1",outcome="dead_lettered",reason="%s"}`
	for name, tc := range map[string]struct {
		alert  string
		series string
		at     int
		fires  bool
	}{
		"all is well":                  {"CapiDispatcherNotReady", `capi_condition{condition="redis"} 1x20`, 10, false},
		"Redis is away":                {"CapiDispatcherNotReady", `capi_condition{condition="redis"} 1x5 0x10`, 10, true},
		"workers report":               {"CapiDispatcherAbsent", `capi_condition{condition="nats"} 1x20`, 10, false},
		"nobody reports":               {"CapiDispatcherAbsent", `up 1x20`, 10, true},
		"a first expired event":        {"CapiDispatcherExpired", fmt.Sprintf(settled, "expired") + ` _x9 1x10`, 12, true},
		"another expired event":        {"CapiDispatcherExpired", fmt.Sprintf(settled, "expired") + ` 1x30 2x5`, 32, true},
		"expired long ago":             {"CapiDispatcherExpired", fmt.Sprintf(settled, "expired") + ` 5x60`, 50, false},
		"other reasons":                {"CapiDispatcherExpired", fmt.Sprintf(settled, "refused") + ` _x9 9x10`, 12, false},
		"a few dead letters":           {"CapiDispatcherDeadLetters", fmt.Sprintf(settled, "refused") + ` _x9 9x10`, 12, false},
		"many dead letters at once":    {"CapiDispatcherDeadLetters", fmt.Sprintf(settled, "refused") + ` _x9 11x10`, 12, true},
		"many dead letters by and by":  {"CapiDispatcherDeadLetters", fmt.Sprintf(settled, "refused") + ` 0+1x40`, 40, true},
		"a dead token":                 {"CapiDispatcherPaused", `capi_dataset_paused{dataset="1",reason="paused"} 1x30`, 30, true},
		"a token that was dead before": {"CapiDispatcherPaused", `capi_dataset_paused{dataset="1",reason="paused"} 1x10 _x20`, 30, false},
		"another trouble":              {"CapiDispatcherPaused", `capi_dataset_paused{dataset="1",reason="failing"} 1x30`, 30, false},
		"everything is refused":        {"CapiDispatcherRefused", `capi_dataset_paused{dataset="1",reason="refused"} 1x30`, 30, true},
		"a dead token refuses nothing": {"CapiDispatcherRefused", `capi_dataset_paused{dataset="1",reason="paused"} 1x30`, 30, false},
		"an account is not linked":     {"CapiDispatcherUnlinked", `capi_dataset_paused{dataset="1",reason="unlinked"} 1x90`, 80, true},
		"throttled":                    {"CapiDispatcherThrottled", `capi_dataset_paused{dataset="1",reason="throttled"} 1x30`, 30, true},
		"throttled now and then":       {"CapiDispatcherThrottled", `capi_dataset_paused{dataset="1",reason="throttled"} 1 _x9 1 _x9 1 _x9`, 29, true},
		"throttled before":             {"CapiDispatcherThrottled", `capi_dataset_paused{dataset="1",reason="throttled"} 1x10 _x20`, 30, false},
		"a batch in doubt":             {"CapiDispatcherMaybeSent", `capi_events_maybe_sent_total{dataset="1"} _x9 1000x10`, 12, true},
		"an event in doubt":            {"CapiDispatcherMaybeSent", `capi_events_maybe_sent_total{dataset="1"} _x9 1x10`, 12, false},
		"hours from NATS to Meta":      {"CapiDispatcherSlow", "capi_event_latency_seconds_bucket{le=\"3600\"} 0x30\n capi_event_latency_seconds_bucket{le=\"21600\"} 0+9x30\n capi_event_latency_seconds_bucket{le=\"+Inf\"} 0+9x30", 30, true},
		"seconds from NATS to Meta":    {"CapiDispatcherSlow", "capi_event_latency_seconds_bucket{le=\"5\"} 0+9x30\n capi_event_latency_seconds_bucket{le=\"+Inf\"} 0+9x30", 30, false},
		"Redis does not know":          {"CapiDispatcherUnconfirmed", `capi_confirms_pending 5x20`, 10, true},
		"Redis knows":                  {"CapiDispatcherUnconfirmed", `capi_confirms_pending 0x20`, 10, false},
		"dead letters have room":       {"CapiDispatcherStoreFilling", "capi_store_used_bytes{store=\"dead_letters\"} 790x20\n capi_store_limit_bytes{store=\"dead_letters\"} 1000x20", 10, false},
		"dead letters run full":        {"CapiDispatcherStoreFilling", "capi_store_used_bytes{store=\"dead_letters\"} 810x20\n capi_store_limit_bytes{store=\"dead_letters\"} 1000x20", 10, true},
		"events have no limit":         {"CapiDispatcherStoreFilling", "capi_store_used_bytes{store=\"events\"} 810x20\n capi_store_limit_bytes{store=\"dead_letters\"} 1000x20", 10, false},
		"nothing leaves":               {"CapiDispatcherStuck", "capi_messages_in_flight 7x30\n capi_outcomes_total{outcome=\"accepted\"} 100x30", 30, true},
		"much leaves":                  {"CapiDispatcherStuck", "capi_messages_in_flight 7x30\n capi_outcomes_total{outcome=\"accepted\"} 0+100x30", 30, false},
		"nothing to do":                {"CapiDispatcherStuck", "capi_messages_in_flight 0x30\n capi_outcomes_total{outcome=\"accepted\"} 100x30", 30, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			require.Equal(t, tc.fires, fires(t, alert(t, tc.alert).Expr, tc.series, time.Duration(tc.at)*time.Minute))
		})
	}
}

// fires evaluates an expression over series in the notation of Prometheus'
// tests, which get the labels of this release's workers.
func fires(t *testing.T, expr, series string, at time.Duration) bool {
	t.Helper()
	storage := promqltest.LoadedStorage(t, "load 1m\n  "+ofWorker(series))
	defer func() { require.NoError(t, storage.Close()) }()
	engine := promqltest.NewTestEngine(t, false, 0, promqltest.DefaultMaxSamplesPerQuery)
	query, err := engine.NewInstantQuery(t.Context(), storage, nil, expr, time.Unix(0, 0).Add(at))
	require.NoError(t, err)
	defer query.Close()
	vector, err := query.Exec(t.Context()).Vector()
	require.NoError(t, err)
	return len(vector) > 0
}

func ofWorker(series string) string {
	var lines []string
	own := fmt.Sprintf(`namespace="capi",pod="%s-abc"`, fullname)
	for line := range strings.SplitSeq(series, "\n") {
		line = strings.TrimSpace(line)
		if strings.Contains(line, "{") {
			line = strings.Replace(line, "{", "{"+own+",", 1)
		} else {
			line = strings.Replace(line, " ", "{"+own+"} ", 1)
		}
		lines = append(lines, line)
	}
	return strings.Join(lines, "\n  ")
}

// Every expression on the dashboard can be parsed.
func dashboardExpressions(t *testing.T) (all []string) {
	t.Helper()
	var dashboard struct {
		Panels []struct {
			Targets []struct{ Expr string }
		}
	}
	require.NoError(t, json.Unmarshal([]byte(readFile(t, chartDir+"/dashboards/capi-dispatcher.json")), &dashboard))
	variable := regexp.MustCompile(`\$__rate_interval`)
	for _, panel := range dashboard.Panels {
		for _, target := range panel.Targets {
			all = append(all, variable.ReplaceAllString(target.Expr, "5m"))
		}
	}
	require.Greater(t, len(all), 20)
	return all
}

// TestMetricsExist compares what alerts and dashboard ask for with what a real
// worker reports: names of metrics, names of labels, and values of labels.
func TestMetricsExist(t *testing.T) {
	t.Parallel()
	reported := reportedSeries(t)
	expressions := dashboardExpressions(t)
	for _, a := range alerts(t) {
		expressions = append(expressions, a.Expr)
	}
	for _, expr := range expressions {
		for _, selector := range selectors(t, expr) {
			require.True(t, anyMatches(reported, selector), "no worker reports %s", selector)
		}
	}
}

func anyMatches(series []labels.Labels, selector *parser.VectorSelector) bool {
	for _, s := range series {
		matches := true
		for _, m := range selector.LabelMatchers {
			switch m.Name {
			case "namespace", "pod": // from Prometheus
			default:
				matches = matches && (s.Has(m.Name) || strings.HasPrefix(m.Value, "$")) && (strings.HasPrefix(m.Value, "$") || m.Matches(s.Get(m.Name)))
			}
		}
		if matches {
			return true
		}
	}
	return false
}
