package test_test

import (
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	lint3 "helm.sh/helm/v3/pkg/lint"
	support3 "helm.sh/helm/v3/pkg/lint/support"
	lint4 "helm.sh/helm/v4/pkg/chart/v2/lint"
	support4 "helm.sh/helm/v4/pkg/chart/v2/lint/support"
	"sigs.k8s.io/yaml"
)

// `helm lint --strict`, with both Helms.
func TestLint(t *testing.T) {
	t.Parallel()
	for name, values := range settings(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, message := range lint3.All(chartDir, merged(t, []string{values}), namespace, true).Messages {
				require.Less(t, message.Severity, support3.WarningSev, "Helm 3: %v", message)
			}
			for _, message := range lint4.RunAll(chartDir, merged(t, []string{values}), namespace).Messages {
				require.Less(t, message.Severity, support4.WarningSev, "Helm 4: %v", message)
			}
		})
	}
}

// The notes lead to the next step.
func TestNotes(t *testing.T) {
	t.Parallel()
	notes := render(t).texts["NOTES.txt"]
	for _, want := range []string{
		"kubectl -n capi create secret generic capi-dispatcher-tokens", "rollout status deployment/shop-capi-dispatcher", "helm test -n capi shop",
		"capi.events.<dataset id>", "config.nats.replicas to 3", "podMonitor.enabled",
	} {
		require.Contains(t, notes, want)
	}
	notes = render(t, everything, "config: {nats: {replicas: 3}}").texts["NOTES.txt"]
	require.NotContains(t, notes, "NOTE:")
}

// What the chart says of itself is true.
func TestMetadata(t *testing.T) {
	t.Parallel()
	var chart struct {
		Version, AppVersion, KubeVersion string
		Annotations                      map[string]string
		Dependencies                     []any
	}
	require.NoError(t, yaml.Unmarshal([]byte(readFile(t, chartDir+"/Chart.yaml")), &chart))
	require.Empty(t, chart.Dependencies, "NATS and Redis outlive a release")
	require.Contains(t, chart.Annotations["artifacthub.io/images"], "capi-dispatcher:"+chart.AppVersion)
	require.NoError(t, yaml.Unmarshal([]byte(chart.Annotations["artifacthub.io/changes"]), new([]map[string]string)))
	guide := readFile(t, chartDir+"/README.md")
	require.Contains(t, guide, "Kubernetes 1.29 or newer")
}

// The guide's examples of values are taken by the chart.
func TestEveryExampleInTheGuideRenders(t *testing.T) {
	t.Parallel()
	examples := regexp.MustCompile("(?s)```yaml\n(.*?)```").FindAllStringSubmatch(readFile(t, "../../docs/deploy.md"), -1)
	require.NotEmpty(t, examples)
	for _, example := range examples {
		if strings.HasPrefix(example[1], "# values") {
			render(t, example[1])
		}
	}
}
