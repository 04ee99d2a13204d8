package test_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/stretchr/testify/require"
	"sigs.k8s.io/yaml"
)

// The versions whose schemas the objects are held against.
const (
	kubernetesModule = "k8s.io/kubernetes@v1.36.3"
	kedaModule       = "github.com/kedacore/keda/v2@v2.21.0"
	gatewayModule    = "sigs.k8s.io/gateway-api@v1.4.0"
	prometheusModule = "github.com/prometheus-operator/prometheus-operator@v0.85.0"
)

// Every object is what the API takes, and holds no field that it does not know.
func TestEveryObjectIsValid(t *testing.T) {
	t.Parallel()
	schemas := kinds(t)
	for name, values := range settings(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, o := range render(t, values).objects {
				require.NoError(t, schemas.validate(t, o.yaml), "%s %s\n%s", o.kind, o.name, o.yaml)
			}
		})
	}
}

// The check above can fail.
func TestUnknownFieldsAreSeen(t *testing.T) {
	t.Parallel()
	schemas := kinds(t)
	for _, text := range []string{
		"{apiVersion: policy/v1, kind: PodDisruptionBudget, spec: {maxUnavailabel: 1}}",
		"{apiVersion: v1, kind: Pod, spec: {containers: [{name: a, imagePullPolicy: 5}]}}",
		"{apiVersion: keda.sh/v1alpha1, kind: ScaledObject, spec: {scaleTargetRef: {name: a}, triggers: [], minReplicas: 1}}",
		"{apiVersion: jetstream.nats.io/v1beta2, kind: Stream, spec: {storage: disk}}",
	} {
		require.Error(t, schemas.validate(t, text), text)
	}
}

// schemaSet holds the schemas of objects, by API version and kind.
type schemaSet map[string]*jsonschema.Schema

func (s schemaSet) validate(t *testing.T, text string) error {
	t.Helper()
	asJSON, err := yaml.YAMLToJSON([]byte(text))
	require.NoError(t, err)
	tree, err := jsonschema.UnmarshalJSON(bytes.NewReader(asJSON))
	require.NoError(t, err)
	kind := kindOf(tree)
	require.Contains(t, s, kind)
	return s[kind].Validate(tree)
}

func kindOf(tree any) string {
	top, _ := tree.(map[string]any)
	version, _ := top["apiVersion"].(string)
	kind, _ := top["kind"].(string)
	return version + " " + kind
}

// kinds reads the schemas of Kubernetes and of all custom resources.
func kinds(t *testing.T) schemaSet {
	t.Helper()
	set := make(schemaSet)
	set.addKubernetes(t, filepath.Join(module(t, kubernetesModule), "api", "openapi-spec", "swagger.json"))
	set.addDefinitions(t, filepath.Join(module(t, kedaModule), "config", "crd", "bases"))
	set.addDefinitions(t, filepath.Join(module(t, gatewayModule), "config", "crd", "standard"))
	set.addDefinitions(t, filepath.Join(module(t, prometheusModule), "example", "prometheus-operator-crd"))
	set.addDefinitions(t, "testdata")
	return set
}

func (s schemaSet) addKubernetes(t *testing.T, file string) {
	t.Helper()
	document, err := jsonschema.UnmarshalJSON(strings.NewReader(readFile(t, file)))
	require.NoError(t, err)
	definitions := document.(map[string]any)["definitions"].(map[string]any)
	strict(definitions)
	compiler := jsonschema.NewCompiler()
	compiler.DefaultDraft(jsonschema.Draft4)
	require.NoError(t, compiler.AddResource("mem:kubernetes", map[string]any{"definitions": definitions}))
	for name, definition := range definitions {
		known, _ := definition.(map[string]any)["x-kubernetes-group-version-kind"].([]any)
		for _, k := range known {
			kind := k.(map[string]any)
			version := strings.TrimPrefix(kind["group"].(string)+"/"+kind["version"].(string), "/")
			schema, err := compiler.Compile("mem:kubernetes#/definitions/" + name)
			require.NoError(t, err)
			s[version+" "+kind["kind"].(string)] = schema
		}
	}
}

// addDefinitions adds the custom resources that the files of a directory
// define.
func (s schemaSet) addDefinitions(t *testing.T, dir string) {
	t.Helper()
	require.NoError(t, filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || filepath.Ext(path) != ".yaml" {
			return err
		}
		text, err := os.ReadFile(path)
		for part := range strings.SplitSeq(string(text), "\n---") {
			s.addDefinition(t, part)
		}
		return err
	}))
}

func (s schemaSet) addDefinition(t *testing.T, text string) {
	t.Helper()
	asJSON, err := yaml.YAMLToJSON([]byte(text))
	require.NoError(t, err)
	var crd struct {
		Kind string
		Spec struct {
			Group    string
			Names    struct{ Kind string }
			Versions []struct {
				Name   string
				Schema struct{ OpenAPIV3Schema map[string]any }
			}
		}
	}
	if err := json.Unmarshal(asJSON, &crd); errors.Is(err, io.EOF) || crd.Kind != "CustomResourceDefinition" {
		return
	}
	for _, version := range crd.Spec.Versions {
		schema := version.Schema.OpenAPIV3Schema
		properties := schema["properties"].(map[string]any)
		properties["metadata"] = map[string]any{}
		properties["apiVersion"], properties["kind"] = map[string]any{}, map[string]any{}
		strict(schema)
		name := crd.Spec.Group + "/" + version.Name
		compiler := jsonschema.NewCompiler()
		require.NoError(t, compiler.AddResource("mem:"+name+"/"+crd.Spec.Names.Kind, schema))
		compiled, err := compiler.Compile("mem:" + name + "/" + crd.Spec.Names.Kind)
		require.NoError(t, err)
		s[name+" "+crd.Spec.Names.Kind] = compiled
	}
}

// strict refuses fields that a schema does not name, as the API server does,
// and writes what is Kubernetes' own manner in terms of JSON Schema.
func strict(node any) {
	switch n := node.(type) {
	case []any:
		for _, child := range n {
			strict(child)
		}
	case map[string]any:
		if properties, ok := n["properties"].(map[string]any); ok && n["x-kubernetes-preserve-unknown-fields"] == nil && n["additionalProperties"] == nil {
			if _, isSchema := properties["type"].(string); !isSchema {
				n["additionalProperties"] = false
			}
		}
		if n["format"] == "int-or-string" || n["x-kubernetes-int-or-string"] == true {
			delete(n, "type")
			delete(n, "format")
			n["type"] = []any{"integer", "string"}
		}
		if description, ok := n["description"].(string); ok && strings.HasPrefix(description, "Quantity is a fixed-point") {
			n["type"] = []any{"string", "number"}
		}
		for _, child := range n {
			strict(child)
		}
	}
}
