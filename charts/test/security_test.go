package test_test

import (
	"testing"

	"github.com/stretchr/testify/require"
	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/pod-security-admission/api"
	"k8s.io/pod-security-admission/policy"
)

// pods are all pods that a rendered chart would start, hooks included.
func (r *rendered) pods() map[string]corev1.PodTemplateSpec {
	r.t.Helper()
	all := make(map[string]corev1.PodTemplateSpec)
	for _, o := range r.objects {
		switch o.kind {
		case "Deployment":
			all[o.name] = get[appsv1.Deployment](r, o.kind, o.name).Spec.Template
		case "Job":
			all[o.name] = get[batchv1.Job](r, o.kind, o.name).Spec.Template
		case "Pod":
			pod := get[corev1.Pod](r, o.kind, o.name)
			all[o.name] = corev1.PodTemplateSpec{ObjectMeta: pod.ObjectMeta, Spec: pod.Spec}
		}
	}
	return all
}

func TestEveryPodIsRestricted(t *testing.T) {
	t.Parallel()
	evaluator, err := policy.NewEvaluator(policy.DefaultChecks(), nil)
	require.NoError(t, err)
	restricted := api.LevelVersion{Level: api.LevelRestricted, Version: api.LatestVersion()}
	for name, values := range settings(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			pods := render(t, values).pods()
			require.GreaterOrEqual(t, len(pods), 2, "the workers and the test")
			for pod, template := range pods {
				result := policy.AggregateCheckResults(evaluator.EvaluatePod(restricted, &template.ObjectMeta, &template.Spec))
				require.True(t, result.Allowed, "%s: %s", pod, result.ForbiddenDetail())
				require.False(t, *template.Spec.AutomountServiceAccountToken, pod)
				require.False(t, *template.Spec.EnableServiceLinks, pod)
				require.True(t, *template.Spec.Containers[0].SecurityContext.ReadOnlyRootFilesystem, pod)
			}
		})
	}
}

// A value that loosens the security context is seen: the test above can fail.
func TestTheCheckSeesPodsThatAreNotRestricted(t *testing.T) {
	t.Parallel()
	evaluator, err := policy.NewEvaluator(policy.DefaultChecks(), nil)
	require.NoError(t, err)
	template := deployment(render(t, "securityContext: {allowPrivilegeEscalation: true}")).Spec.Template
	restricted := api.LevelVersion{Level: api.LevelRestricted, Version: api.LatestVersion()}
	require.False(t, policy.AggregateCheckResults(evaluator.EvaluatePod(restricted, &template.ObjectMeta, &template.Spec)).Allowed)
}
