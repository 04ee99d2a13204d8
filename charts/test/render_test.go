package test_test

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	chart3 "helm.sh/helm/v3/pkg/chart/loader"
	util3 "helm.sh/helm/v3/pkg/chartutil"
	engine3 "helm.sh/helm/v3/pkg/engine"
	common4 "helm.sh/helm/v4/pkg/chart/common"
	util4 "helm.sh/helm/v4/pkg/chart/common/util"
	chart4 "helm.sh/helm/v4/pkg/chart/v2/loader"
	engine4 "helm.sh/helm/v4/pkg/engine"
	"sigs.k8s.io/yaml"
)

const (
	chartDir  = "../capi-dispatcher"
	release   = "shop"
	namespace = "capi"
	fullname  = "shop-capi-dispatcher"
)

// rendered is what a set of values makes of the chart.
type rendered struct {
	t       *testing.T
	texts   map[string]string // by template
	objects []object
}

// object is one object of Kubernetes.
type object struct {
	kind, name string
	yaml       string
	hook       string // empty: no hook
}

// render renders the chart with both Helms.
func render(t *testing.T, values ...string) *rendered {
	t.Helper()
	r, err := tryRender(t, values...)
	require.NoError(t, err)
	return r
}

// tryRender renders the chart with these values, of which later ones go over
// earlier ones. Both Helms have to agree, on errors as well.
func tryRender(t *testing.T, values ...string) (*rendered, error) {
	t.Helper()
	three, err3 := render3(merged(t, values))
	four, err4 := render4(merged(t, values))
	require.Equal(t, err3 == nil, err4 == nil, "Helm 3: %v\nHelm 4: %v", err3, err4)
	if err4 != nil {
		return nil, err4
	}
	require.Equal(t, three, four, "Helm 3 and 4 render differently")
	r := &rendered{t: t, texts: make(map[string]string)}
	for file, text := range four {
		r.texts[strings.TrimPrefix(file, "capi-dispatcher/templates/")] = text
	}
	r.parse()
	return r, nil
}

func merged(t *testing.T, values []string) map[string]any {
	t.Helper()
	all := make(map[string]any)
	for _, text := range values {
		var tree map[string]any
		require.NoError(t, yaml.Unmarshal([]byte(text), &tree), text)
		all = util4.MergeTables(tree, all)
	}
	return all
}

func render3(values map[string]any) (map[string]string, error) {
	chart, err := chart3.LoadDir(chartDir)
	if err != nil {
		return nil, err
	}
	full, err := util3.ToRenderValues(chart, values, util3.ReleaseOptions{Name: release, Namespace: namespace, Revision: 1, IsInstall: true}, nil)
	if err != nil {
		return nil, err
	}
	return engine3.Render(chart, full)
}

func render4(values map[string]any) (map[string]string, error) {
	chart, err := chart4.LoadDir(chartDir)
	if err != nil {
		return nil, err
	}
	full, err := util4.ToRenderValues(chart, values, common4.ReleaseOptions{Name: release, Namespace: namespace, Revision: 1, IsInstall: true}, nil)
	if err != nil {
		return nil, err
	}
	return engine4.Render(chart, full)
}

// parse finds the objects in the rendered texts.
func (r *rendered) parse() {
	r.t.Helper()
	for _, file := range slices.Sorted(maps.Keys(r.texts)) {
		if !strings.HasSuffix(file, ".yaml") {
			continue
		}
		for text := range strings.SplitSeq("\n"+r.texts[file], "\n---") {
			var head struct {
				Kind     string `json:"kind"`
				Metadata struct {
					Name        string            `json:"name"`
					Annotations map[string]string `json:"annotations"`
				} `json:"metadata"`
			}
			require.NoError(r.t, yaml.UnmarshalStrict([]byte(text), new(map[string]any)), "%s: %s", file, text)
			require.NoError(r.t, yaml.Unmarshal([]byte(text), &head), file)
			if head.Kind != "" {
				r.objects = append(r.objects, object{head.Kind, head.Metadata.Name, text, head.Metadata.Annotations["helm.sh/hook"]})
			}
		}
	}
}

// text is everything, the notes included.
func (r *rendered) text() string {
	var all strings.Builder
	for _, file := range slices.Sorted(maps.Keys(r.texts)) {
		all.WriteString("# " + file + "\n" + r.texts[file] + "\n")
	}
	return all.String()
}

// kinds lists the kinds of the objects.
func (r *rendered) kinds() (kinds []string) {
	for _, o := range r.objects {
		kinds = append(kinds, o.kind)
	}
	return kinds
}

// find returns the text of the object of this kind and name.
func (r *rendered) find(kind, name string) []byte {
	r.t.Helper()
	for _, o := range r.objects {
		if o.kind == kind && o.name == name {
			return []byte(o.yaml)
		}
	}
	require.Fail(r.t, "no such object", "%s %s; there are %v", kind, name, r.kinds())
	return nil
}

// get decodes an object of Kubernetes' own, strictly.
func get[T any](r *rendered, kind, name string) *T {
	r.t.Helper()
	into := new(T)
	require.NoError(r.t, yaml.UnmarshalStrict(r.find(kind, name), into))
	return into
}

// custom decodes what a type knows of a custom resource; its schema is checked
// elsewhere.
func custom[T any](r *rendered, kind, name string) *T {
	r.t.Helper()
	into := new(T)
	require.NoError(r.t, yaml.Unmarshal(r.find(kind, name), into))
	return into
}

// everything switches on all that goes together, so that tests see every
// object of the chart.
const everything = `
streams: {owner: job}
otlp: {endpoint: "http://otel.monitoring:4318"}
keda: {enabled: true}
podMonitor: {enabled: true}
service: {enabled: true}
prometheusRule: {enabled: true}
dashboard: {enabled: true}
networkPolicy: {metrics: {from: [{namespaceSelector: {}}]}}
secrets:
  appSecret: {name: meta}
  natsCreds: {name: nats}
  natsTLS: {name: nats-tls, cert: tls.crt, key: tls.key}
  redisPassword: {name: redis}
  redisTLS: {name: redis-tls}
`

// scraped lets somebody in to read the metrics, without whom a monitor is
// refused.
const scraped = "networkPolicy: {metrics: {from: [{namespaceSelector: {}}]}}"

// receiving has all that there is for receivers of webhooks.
const receiving = `
config: {attribution: {enabled: true}, assets: {whatsapp_business_accounts: {"102": {dataset: "1"}}}}
secrets:
  peopleKeys: {name: people}
  verifyToken: {name: meta}
  webhookAppSecrets: [{name: meta}, {name: other, key: secret}]
  webhooksTLS: {name: certificate}
webhooks:
  enabled: true
  service: {type: LoadBalancer, port: 443, annotations: {a: b}}
  ingress: {enabled: true, className: nginx, host: hooks.example, tlsSecret: certificate, annotations: {a: b}}
  httpRoute: {enabled: true, parentRefs: [{name: gateway, namespace: edge}], hostnames: [hooks.example]}
  autoscaling: {enabled: true}
`

// settings are the sets of values that the general tests go through: the
// defaults, everything, what everything excludes, and the examples.
func settings(t *testing.T) map[string]string {
	t.Helper()
	return map[string]string{
		"defaults":        "",
		"everything":      everything,
		"nack":            "streams: {owner: nack}",
		"hpa":             "autoscaling: {enabled: true}\nserviceMonitor: {enabled: true}\n" + scraped,
		"external":        "streams: {owner: external}\nkeda: {enabled: true, minReplicaCount: 0}",
		"webhooks":        receiving,
		"example nats":    readFile(t, chartDir+"/examples/beside-nats-and-redis.yaml"),
		"example at work": readFile(t, chartDir+"/examples/production.yaml"),
	}
}
