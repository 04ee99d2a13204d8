package test_test

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
)

const receivers = fullname + "-webhooks"

// Receivers hold no access token, and workers none of what only receivers need.
func TestReceiversAndWorkersHaveTheFilesThatTheyNeed(t *testing.T) {
	t.Parallel()
	r := render(t, receiving, "secrets: {appSecret: {name: s}, natsCreds: {name: creds}}")
	files := func(name string) (mounted []string) {
		d := get[appsv1.Deployment](r, "Deployment", name)
		container := d.Spec.Template.Spec.Containers[0]
		for _, mount := range container.VolumeMounts {
			require.True(t, slices.ContainsFunc(d.Spec.Template.Spec.Volumes, func(v corev1.Volume) bool { return v.Name == mount.Name }), mount.Name)
			mounted = append(mounted, mount.Name)
		}
		require.Len(t, d.Spec.Template.Spec.Volumes, len(mounted))
		return mounted
	}
	require.ElementsMatch(t, []string{"config", "tokens", "app-secret", "nats-creds", "people-keys"}, files(fullname))
	require.ElementsMatch(t, []string{
		"config", "nats-creds", "people-keys", "verify-token", "webhooks-tls", "webhook-app-secret-0", "webhook-app-secret-1",
	}, files(receivers))
	cfg := configOf(r, fullname)
	require.Equal(t, []string{
		"/etc/capi-dispatcher/webhook-app-secret-0/app-secret", "/etc/capi-dispatcher/webhook-app-secret-1/secret",
	}, cfg.Webhooks.AppSecretFiles)
	for _, mount := range get[appsv1.Deployment](r, "Deployment", receivers).Spec.Template.Spec.Containers[0].VolumeMounts {
		require.True(t, mount.ReadOnly, mount.Name)
	}
	require.Equal(t, []string{"webhooks", "--config", "/etc/capi-dispatcher/config/config.yaml"},
		get[appsv1.Deployment](r, "Deployment", receivers).Spec.Template.Spec.Containers[0].Args)
}

// What is received is let in, and the rest is not.
func TestWhoComesInToReceivers(t *testing.T) {
	t.Parallel()
	open := get[networkingv1.NetworkPolicy](render(t, receiving), "NetworkPolicy", receivers)
	require.Len(t, open.Spec.Ingress, 1)
	require.Empty(t, open.Spec.Ingress[0].From, "whoever comes has to sign")
	require.Len(t, open.Spec.Ingress[0].Ports, 1)
	require.Equal(t, "webhooks", open.Spec.Ingress[0].Ports[0].Port.StrVal)
	require.Equal(t, "webhooks", open.Spec.PodSelector.MatchLabels["app.kubernetes.io/component"])
	narrow := get[networkingv1.NetworkPolicy](render(t, receiving, "webhooks: {from: [{podSelector: {matchLabels: {app: gateway}}}]}"), "NetworkPolicy", receivers)
	require.Len(t, narrow.Spec.Ingress[0].From, 1)
	require.NotContains(t, render(t, receiving, "networkPolicy: {enabled: false}").text(), "kind: NetworkPolicy")
}

func TestReceiversThatCannotWorkAreRefused(t *testing.T) {
	t.Parallel()
	for values, want := range map[string]string{
		"config: {attribution: {enabled: false}}":                "config.attribution.enabled is false",
		"secrets: {peopleKeys: {name: ''}}":                      "secrets.peopleKeys",
		"secrets: {verifyToken: {name: ''}}":                     "one needs the other",
		"streams: {owner: nack}":                                 "streams.owner nack",
		"webhooks: {httpRoute: {enabled: true, parentRefs: []}}": "parentRefs",
		"webhooks: {ingress: {enabled: true, host: ''}}":         "webhooks.ingress.host",
	} {
		_, err := tryRender(t, receiving, values)
		require.ErrorContains(t, err, want)
	}
	require.NotContains(t, render(t).text(), "component: webhooks", "off by default")
}
