package cluster_test

import (
	"encoding/json"
	"io/fs"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	schedulingv1 "k8s.io/api/scheduling/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"sigs.k8s.io/yaml"
)

// The custom resources that the chart may use.
var definitions = []string{
	"github.com/kedacore/keda/v2@v2.21.0:config/crd/bases/keda.sh_scaledobjects.yaml",
	"github.com/prometheus-operator/prometheus-operator@v0.85.0:example/prometheus-operator-crd/monitoring.coreos.com_podmonitors.yaml",
	"github.com/prometheus-operator/prometheus-operator@v0.85.0:example/prometheus-operator-crd/monitoring.coreos.com_servicemonitors.yaml",
	"github.com/prometheus-operator/prometheus-operator@v0.85.0:example/prometheus-operator-crd/monitoring.coreos.com_prometheusrules.yaml",
	":../test/testdata/nack-crds.yaml",
}

// define adds the custom resources, and waits until they are served, and the
// priority class of an example.
func (c *controlPlane) define() {
	c.t.Helper()
	_, err := c.client.SchedulingV1().PriorityClasses().Create(c.t.Context(), &schedulingv1.PriorityClass{
		ObjectMeta: metav1.ObjectMeta{Name: "business-critical"}, Value: 1000,
	}, metav1.CreateOptions{})
	require.NoError(c.t, err)
	for _, definition := range definitions {
		c.defineAll(readDefinition(c.t, definition))
	}
}

// defineAll adds the custom resources of a file.
func (c *controlPlane) defineAll(text string) {
	c.t.Helper()
	client, err := dynamic.NewForConfig(c.config)
	require.NoError(c.t, err)
	crds := client.Resource(schema.GroupVersionResource{Group: "apiextensions.k8s.io", Version: "v1", Resource: "customresourcedefinitions"})
	for part := range strings.SplitSeq("\n"+text, "\n---") {
		object := &unstructured.Unstructured{}
		require.NoError(c.t, yaml.Unmarshal([]byte(part), &object.Object))
		if object.GetKind() == "" {
			continue
		}
		_, err := crds.Create(c.t.Context(), object, metav1.CreateOptions{})
		require.NoError(c.t, err)
		require.Eventually(c.t, func() bool {
			made, err := crds.Get(c.t.Context(), object.GetName(), metav1.GetOptions{})
			return err == nil && established(made)
		}, time.Minute, 50*time.Millisecond)
	}
}

func established(crd *unstructured.Unstructured) bool {
	conditions, _, _ := unstructured.NestedSlice(crd.Object, "status", "conditions")
	for _, c := range conditions {
		condition, _ := c.(map[string]any)
		if condition["type"] == "Established" && condition["status"] == "True" {
			return true
		}
	}
	return false
}

// readDefinition reads a file of a module, or of this repository. Modules are
// downloaded if need be.
func readDefinition(t *testing.T, definition string) string {
	t.Helper()
	module, path, _ := strings.Cut(definition, ":")
	if module == "" {
		return readFile(t, path)
	}
	cmd := exec.CommandContext(t.Context(), "go", "mod", "download", "-json", module)
	cmd.Dir = t.TempDir()
	out, err := cmd.Output()
	require.NoError(t, err, "%s", out)
	var found struct{ Dir string }
	require.NoError(t, json.Unmarshal(out, &found))
	text, err := fs.ReadFile(os.DirFS(found.Dir), path)
	require.NoError(t, err)
	return string(text)
}

func readFile(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	return string(text)
}
