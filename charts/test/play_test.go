package test_test

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/rulefmt"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/promql/promqltest"
	"github.com/prometheus/prometheus/rules"
	"github.com/stretchr/testify/require"
	"sigs.k8s.io/yaml"
)

// played is what Prometheus' own rule manager has made of the chart's rules: when
// each alert fired, and with which labels.
type played map[string]map[time.Duration][]labels.Labels

// at returns the times at which an alert fired.
func (p played) at(alert string) []time.Duration { return slices.Sorted(maps.Keys(p[alert])) }

// play evaluates the rules at each step, recording rules and `for` included. The
// series, in the notation of Prometheus' tests, get the labels of this release's
// workers, and have a value for each step. Where names are given, only the rules
// are evaluated whose names begin so.
func play(t *testing.T, series string, until, step time.Duration, names ...string) played {
	t.Helper()
	input := fmt.Sprintf("load %s\n  %s", step, ofWorker(series))
	loader, err := promqltest.NewLazyLoader(input, promqltest.LazyLoaderOpts{EnableAtModifier: true, EnableNegativeOffset: true})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, loader.Close()) })
	groups := ruleGroups(t, &rules.ManagerOptions{
		Context: t.Context(), Queryable: loader.Queryable(), Appendable: loader.Storage(),
		QueryFunc: rules.EngineQueryFunc(loader.QueryEngine(), loader.Queryable()), NotifyFunc: ignoreAlerts,
	}, step, names...)
	fired := make(played)
	for at := time.Duration(0); at <= until; at += step {
		now := time.Unix(0, 0).Add(at)
		loader.WithSamplesTill(now, func(err error) { require.NoError(t, err) })
		for _, group := range groups {
			group.Eval(t.Context(), now)
			fired.note(t, group, at)
		}
	}
	return fired
}

func (p played) note(t *testing.T, group *rules.Group, at time.Duration) {
	t.Helper()
	for _, rule := range group.Rules() {
		require.NoError(t, rule.LastError(), rule.Name())
	}
	for _, alert := range group.AlertingRules() {
		for _, active := range alert.ActiveAlerts() {
			if active.State != rules.StateFiring {
				continue
			}
			if p[alert.Name()] == nil {
				p[alert.Name()] = make(map[time.Duration][]labels.Labels)
			}
			p[alert.Name()][at] = append(p[alert.Name()][at], active.Labels)
		}
	}
}

// ruleGroups are the chart's rules as Prometheus reads them.
func ruleGroups(t *testing.T, options *rules.ManagerOptions, step time.Duration, names ...string) (groups []*rules.Group) {
	t.Helper()
	object := custom[struct{ Spec any }](render(t, "prometheusRule: {enabled: true, alerts: {tokenOld: {enabled: true}}}"), "PrometheusRule", fullname)
	text, err := yaml.Marshal(object.Spec)
	require.NoError(t, err)
	read := parser.NewParser(parser.Options{})
	rules.NewManager(options) // completes the options
	parsed, errs := rulefmt.Parse(text, false, options.NameValidationScheme, read, options.Logger)
	require.Empty(t, errs)
	for _, group := range parsed.Groups {
		var all []rules.Rule
		for _, r := range group.Rules {
			if !meant(r.Alert+r.Record, names) {
				continue
			}
			expr, err := read.ParseExpr(r.Expr)
			require.NoError(t, err)
			if r.Record != "" {
				all = append(all, rules.NewRecordingRule(r.Record, expr, labels.FromMap(r.Labels)))
				continue
			}
			all = append(all, rules.NewAlertingRule(r.Alert, expr, time.Duration(r.For), time.Duration(r.KeepFiringFor),
				labels.FromMap(r.Labels), labels.FromMap(r.Annotations), labels.EmptyLabels(), "", true, options.Logger))
		}
		groups = append(groups, rules.NewGroup(rules.GroupOptions{Name: group.Name, Interval: step, Rules: all, Opts: options}))
	}
	return groups
}

func meant(name string, prefixes []string) bool {
	begins := func(prefix string) bool { return strings.HasPrefix(name, prefix) }
	return len(prefixes) == 0 || slices.ContainsFunc(prefixes, begins)
}

// ofWorker gives series the labels that Prometheus gives to a worker of this release.
func ofWorker(series string) string {
	var lines []string
	own := fmt.Sprintf(`namespace=%q,pod="%s-abc"`, namespace, fullname)
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

func ignoreAlerts(context.Context, string, ...*rules.Alert) {}
