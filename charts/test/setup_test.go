package test_test

import (
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	promconfig "github.com/prometheus/prometheus/config"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/relabel"
	"github.com/stretchr/testify/require"
)

// Prometheus takes the guide's configuration, and scrapes the chart's pods with it,
// with the labels that the rules go by. Where pods are found is left out: that is
// Kubernetes' own.
func TestTheGuidesPrometheusConfiguration(t *testing.T) {
	t.Parallel()
	found := regexp.MustCompile("(?s)```yaml\n# prometheus.yml[^\n]*\n(.*?)```").FindStringSubmatch(readFile(t, guide))
	require.NotNil(t, found)
	const discovery = "kubernetes_sd_configs: [{role: pod}]"
	require.Contains(t, found[1], discovery)
	file := filepath.Join(t.TempDir(), "prometheus.yml")
	require.NoError(t, os.WriteFile(file, []byte(strings.Replace(found[1], discovery, "static_configs: [{targets: ['x']}]", 1)), 0o600))
	cfg, err := promconfig.LoadFile(file, false, slog.New(slog.DiscardHandler))
	require.NoError(t, err)

	pod := deployment(render(t)).Spec.Template
	target := map[string]string{
		"__address__": "10.0.0.1:8080", "__meta_kubernetes_namespace": namespace, "__meta_kubernetes_pod_name": fullname + "-abc",
		"__meta_kubernetes_pod_container_port_name": pod.Spec.Containers[0].Ports[0].Name,
	}
	for name, value := range pod.Labels {
		target["__meta_kubernetes_pod_label_"+regexp.MustCompile(`[^a-zA-Z0-9_]`).ReplaceAllString(name, "_")] = value
	}
	kept := labels.NewBuilder(labels.FromMap(target))
	require.True(t, relabel.ProcessBuilder(kept, cfg.ScrapeConfigs[0].RelabelConfigs...), "the pod is scraped")
	require.Equal(t, namespace, kept.Get("namespace"))
	require.Equal(t, fullname+"-abc", kept.Get("pod"))
}
