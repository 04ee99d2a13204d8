package test_test

import (
	"log/slog"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/alertmanager/alert"
	"github.com/prometheus/alertmanager/config"
	"github.com/prometheus/alertmanager/eventrecorder"
	"github.com/prometheus/alertmanager/featurecontrol"
	"github.com/prometheus/alertmanager/inhibit"
	"github.com/prometheus/alertmanager/provider/mem"
	client "github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/model"
	"github.com/stretchr/testify/require"
)

// alertmanagerConfig is the guide's example, which Alertmanager takes.
func alertmanagerConfig(t *testing.T) *config.Config {
	t.Helper()
	parts := regexp.MustCompile("(?s)```yaml\n# alertmanager.yml[^\n]*\n(.*?)```").FindAllStringSubmatch(readFile(t, guide), -1)
	require.NotEmpty(t, parts)
	var all strings.Builder
	for _, part := range parts {
		all.WriteString(part[1])
	}
	cfg, err := config.Load(all.String())
	require.NoError(t, err, all.String())
	return cfg
}

// With the guide's rules for Alertmanager, what follows from another trouble is
// silenced, and nothing else: least of all that events are lost.
func TestWhatFollowsIsSilenced(t *testing.T) {
	t.Parallel()
	cfg, layers := alertmanagerConfig(t), make(map[string]model.LabelSet)
	for _, a := range alerts(t) {
		layers[strings.TrimPrefix(a.Alert, "CapiDispatcher")] = model.LabelSet{
			"alertname": model.LabelValue(a.Alert), "layer": model.LabelValue(a.Labels["layer"]), "severity": model.LabelValue(a.Labels["severity"]),
		}
	}
	const here, there = namespace, "elsewhere"
	for name, tc := range map[string]struct {
		firing, fires string
		where, whose  model.LabelValue // namespace and dataset of the second
		silenced      bool
	}{
		"NATS is away, and a dataset stalls":           {"NotReady", "DatasetStalled", here, "1", true},
		"NATS is away, and nothing is accepted":        {"NotReady", "NothingAccepted", here, "", true},
		"NATS is away, and events are late":            {"NotReady", "Late1h", here, "", true},
		"no worker reports, and the backlog grows":     {"Absent", "BacklogGrowing", here, "", true},
		"NATS is away, and events are lost":            {"NotReady", "Expired", here, "", false},
		"NATS is away, and events are near their end":  {"NotReady", "NearExpiry", here, "", false},
		"NATS is away, and another condition":          {"NotReady", "NotReady", here, "", false},
		"NATS is away elsewhere":                       {"NotReady", "DatasetStalled", there, "1", false},
		"room runs short, and a dataset stalls":        {"StoreFilling", "DatasetStalled", here, "1", false},
		"nothing is accepted, and a dataset stalls":    {"NothingAccepted", "DatasetStalled", here, "1", true},
		"nothing is accepted, for a dead token":        {"NothingAccepted", "Paused", here, "1", false},
		"a dataset is paused, and stalls":              {"Paused", "DatasetStalled", here, "1", true},
		"a dataset is paused, and another stalls":      {"Paused", "DatasetStalled", here, "2", false},
		"a dataset stalls, and is paused":              {"DatasetStalled", "Paused", here, "1", false},
		"a dataset is paused, and has dead letters":    {"Paused", "DeadLetters", here, "1", false},
		"a dataset is paused, and nothing is accepted": {"Paused", "NothingAccepted", here, "", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			source, target := layers[tc.firing].Clone(), layers[tc.fires].Clone()
			require.NotEmpty(t, source)
			require.NotEmpty(t, target)
			source["namespace"], source["dataset"] = here, "1"
			target["namespace"] = tc.where
			if tc.whose != "" {
				target["dataset"] = tc.whose
			}
			require.Equal(t, tc.silenced, silenced(t, cfg, source, target))
		})
	}
}

// silenced reports whether an alert silences another, as Alertmanager has it.
func silenced(t *testing.T, cfg *config.Config, source, target model.LabelSet) bool {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	all, err := mem.NewAlerts(t.Context(), time.Hour, 0, nil, log, eventrecorder.NopRecorder(), client.NewRegistry(), featurecontrol.NoopFlags{})
	require.NoError(t, err)
	t.Cleanup(all.Close)
	now := time.Now()
	require.NoError(t, all.Put(t.Context(), &alert.Alert{UpdatedAt: now, Alert: model.Alert{Labels: source, StartsAt: now, EndsAt: now.Add(time.Hour)}}))
	inhibitor := inhibit.NewInhibitor(all, cfg.InhibitRules, log, eventrecorder.NopRecorder())
	go inhibitor.Run()
	t.Cleanup(inhibitor.Stop)
	inhibitor.WaitForLoading()
	return inhibitor.Mutes(t.Context(), target)
}
