package test_test

import (
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/stretchr/testify/require"
)

// rule is one rule of a PrometheusRule.
type rule struct {
	Alert, Record, Expr, For string
	Labels, Annotations      map[string]string
}

func ruleset(t *testing.T, values ...string) (all []rule) {
	t.Helper()
	r := render(t, append([]string{"prometheusRule: {enabled: true}"}, values...)...)
	found := custom[struct {
		Spec struct {
			Groups []struct{ Rules []rule }
		}
	}](r, "PrometheusRule", fullname)
	for _, group := range found.Spec.Groups {
		all = append(all, group.Rules...)
	}
	return all
}

func alerts(t *testing.T, values ...string) []rule {
	t.Helper()
	return slices.DeleteFunc(ruleset(t, values...), func(r rule) bool { return r.Alert == "" })
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

// Each alert says what it means, and leads to a section of the runbooks with what it
// means, what it costs, how to find the cause, and what to do.
func TestEveryAlertHasARunbook(t *testing.T) {
	t.Parallel()
	runbooks, known := sections(readFile(t, "../../docs/runbooks.md")), make(map[string]bool)
	all := alerts(t, "prometheusRule: {alerts: {tokenOld: {enabled: true}}}")
	for _, a := range all {
		t.Run(a.Alert, func(t *testing.T) {
			t.Parallel()
			require.Contains(t, runbooks, a.Alert, "docs/runbooks.md does not have the alert")
			require.Regexp(t, `(?s)^\*\*Meaning\.\*\* .+\n\n\*\*Impact\.\*\* .+\n\n\*\*Diagnosis\.\*\* .+\n\n\*\*Mitigation\.\*\* .+`, runbooks[a.Alert])
			require.True(t, strings.HasSuffix(a.Annotations["runbook_url"], "/docs/runbooks.md#"+strings.ToLower(a.Alert)))
			require.NotEmpty(t, a.Annotations["summary"])
			require.NotEmpty(t, a.Annotations["description"])
			require.Contains(t, []string{"critical", "warning"}, a.Labels["severity"])
			require.Contains(t, []string{"server", "service", "dataset", "loss", "program"}, a.Labels["layer"])
		})
		known[a.Alert] = true
	}
	for name := range runbooks {
		require.True(t, known[name] || !strings.HasPrefix(name, "CapiDispatcher"), "%s is no alert", name)
	}
}

// sections are the parts of a page by their headings.
func sections(page string) map[string]string {
	all := make(map[string]string)
	for part := range strings.SplitSeq(page, "\n## ") {
		heading, text, _ := strings.Cut(part, "\n")
		all[heading] = strings.TrimSpace(text)
	}
	return all
}

// Every rule asks for this release's series alone, and has its placeholders filled.
func TestRulesAskForThisRelease(t *testing.T) {
	t.Parallel()
	for _, r := range ruleset(t) {
		for _, word := range []string{"SELECTOR", "THRESHOLD", "RELEASE", "BUDGET"} {
			require.NotContains(t, r.Expr, word)
		}
		for _, s := range selectors(t, r.Expr) {
			if strings.HasPrefix(s.Name, "capi:") {
				require.Equal(t, fullname, matcher(s, "release"), r.Expr)
				continue
			}
			require.Equal(t, []string{"capi", fullname + "-.*"}, []string{matcher(s, "namespace"), matcher(s, "pod")}, r.Expr)
		}
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

// Given what the program reports, each alert fires when it should, and at no other
// time. Series have a value a minute; an alert is to fire for the first time at a
// minute between two, or never.
func TestAlertsFire(t *testing.T) {
	t.Parallel()
	for name, tc := range alertCases() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			requireFires(t, play(t, tc.series, time.Duration(tc.until)*time.Minute, time.Minute, "CapiDispatcher"+tc.alert), tc)
		})
	}
}

func requireFires(t *testing.T, fired played, tc alertCase) {
	t.Helper()
	times := fired.at("CapiDispatcher" + tc.alert)
	if tc.to == 0 {
		require.Empty(t, times, "it fires")
		return
	}
	require.NotEmpty(t, times, "it does not fire")
	require.GreaterOrEqual(t, times[0], time.Duration(tc.from)*time.Minute, "too early")
	require.LessOrEqual(t, times[0], time.Duration(tc.to)*time.Minute, "too late")
}

// Each alert is shown to fire, and to stay silent.
func TestEveryAlertIsTried(t *testing.T) {
	t.Parallel()
	tried := make(map[string]map[bool]bool)
	for _, tc := range alertCases() {
		if tried[tc.alert] == nil {
			tried[tc.alert] = make(map[bool]bool)
		}
		tried[tc.alert][tc.to > 0] = true
	}
	for _, a := range alerts(t, "prometheusRule: {alerts: {tokenOld: {enabled: true}}}") {
		name := strings.TrimPrefix(a.Alert, "CapiDispatcher")
		if strings.HasPrefix(name, "Late") {
			continue // TestTheErrorBudgetBurns
		}
		require.Equal(t, map[bool]bool{true: true, false: true}, tried[name], name)
	}
}

// TestMetricsExist compares what alerts and dashboard ask for with what a real
// worker reports: names of metrics, names of labels, and values of labels.
func TestMetricsExist(t *testing.T) {
	t.Parallel()
	reported := observedRun(t).series(t)
	expressions := append(dashboardExpressions(t), documentedQueries(t)...)
	for _, r := range ruleset(t, "prometheusRule: {alerts: {tokenOld: {enabled: true}}}") {
		expressions = append(expressions, r.Expr)
	}
	for _, expr := range expressions {
		for _, selector := range selectors(t, expr) {
			if strings.HasPrefix(selector.Name, "capi:") || matcher(selector, "otel_metric_overflow") != "" {
				continue // recorded, or a fault of the program's
			}
			require.True(t, anyMatches(reported, selector), "no worker reports %s", selector)
		}
	}
}

// documentedQueries are the queries in the documents.
func documentedQueries(t *testing.T) (all []string) {
	t.Helper()
	for _, file := range []string{"runbooks.md", "observability.md"} {
		blocks := regexp.MustCompile("(?s)```promql\n(.*?)```").FindAllStringSubmatch(readFile(t, "../../docs/"+file), -1)
		require.NotEmpty(t, blocks, file)
		for _, block := range blocks {
			all = append(all, strings.Split(strings.TrimSpace(block[1]), "\n")...)
		}
	}
	return all
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
