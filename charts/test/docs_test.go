package test_test

import (
	"os"
	"os/exec"
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

// goRun runs a tool at its version. What it is given on its input, and what it
// prints, are texts.
func goRun(t *testing.T, input string, tool ...string) (output string, err error) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", append([]string{"run"}, tool...)...)
	cmd.Dir, cmd.Stdin = t.TempDir(), strings.NewReader(input)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// README.md is made of README.md.gotmpl and values.yaml by `make chart-docs`.
func TestTheReadmeIsUpToDate(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	require.NoError(t, os.CopyFS(dir, os.DirFS(chartDir)))
	command := regexp.MustCompile(`HELM_DOCS := go run (\S+)`).FindStringSubmatch(readFile(t, "../../Makefile"))
	out, err := goRun(t, "", command[1], "--chart-search-root", dir, "--sort-values-order", "file", "--log-level", "warning")
	require.NoError(t, err, out)
	require.Equal(t, readFile(t, dir+"/README.md"), readFile(t, chartDir+"/README.md"), "run make chart-docs")
}

// kubeScore knows what is usually forgotten. What it finds here in spite of
// all is justified where it is ignored, in the templates.
const kubeScore = "github.com/zegl/kube-score/cmd/kube-score@v1.20.0"

func TestKubeScore(t *testing.T) {
	t.Parallel()
	for name, values := range settings(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var objects strings.Builder
			for _, o := range render(t, values).objects {
				objects.WriteString("---\n" + o.yaml + "\n")
			}
			out, err := goRun(t, objects.String(), kubeScore, "score", "--kubernetes-version", "v1.36", "--output-format", "ci", "-")
			require.NoError(t, err, out)
			require.NotRegexp(t, `(?m)^\[(CRITICAL|WARNING)`, out)
		})
	}
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
