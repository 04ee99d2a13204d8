package test_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"

	"github.com/capi-dispatcher/capi-dispatcher/config"
)

// configOf is what the program makes of a rendered ConfigMap.
func configOf(r *rendered, name string) *config.Config {
	r.t.Helper()
	file := filepath.Join(r.t.TempDir(), "config.yaml")
	require.NoError(r.t, os.WriteFile(file, []byte(get[corev1.ConfigMap](r, "ConfigMap", name).Data["config.yaml"]), 0o600))
	cfg, err := config.Load(file, nil)
	require.NoError(r.t, err)
	return cfg
}

func deployment(r *rendered) *appsv1.Deployment {
	return get[appsv1.Deployment](r, "Deployment", fullname)
}

func TestTheProgramTakesEveryConfiguration(t *testing.T) {
	t.Parallel()
	for name, values := range settings(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := render(t, values)
			cfg := configOf(r, fullname)
			require.Equal(t, ":8080", cfg.Admin.Address)
			for _, o := range r.objects {
				if o.kind == "ConfigMap" && strings.HasSuffix(o.name, "-streams") {
					require.True(t, configOf(r, o.name).NATS.Manage, "the job makes streams")
					require.False(t, cfg.NATS.Manage, "and the worker doesn't")
				}
			}
		})
	}
}

// Whatever the program can be told goes through the chart unchanged: its
// defaults, all written out.
func TestAllOfTheConfigurationPasses(t *testing.T) {
	t.Parallel()
	want := config.Default()
	want.Admin.Address = ":8080"
	text, err := want.YAML()
	require.NoError(t, err)
	indented := strings.ReplaceAll(strings.TrimSpace(text), "\n", "\n  ")
	got, err := configOf(render(t, "config:\n  "+indented), fullname).YAML()
	require.NoError(t, err)
	require.Equal(t, text, got)
}

// The files that the configuration names are mounted where it says.
func TestEveryFileOfTheConfigurationIsMounted(t *testing.T) {
	t.Parallel()
	r := render(t, everything)
	cfg, pod := configOf(r, fullname), deployment(r).Spec.Template.Spec
	for _, file := range []string{
		cfg.Graph.AppSecretFile, cfg.NATS.CredsFile, cfg.NATS.TLS.CAFile, cfg.NATS.TLS.CertFile, cfg.NATS.TLS.KeyFile,
		cfg.Redis.PasswordFile, cfg.Redis.TLS.CAFile,
	} {
		require.Contains(t, mountedFiles(pod), file)
	}
	require.True(t, slices.ContainsFunc(pod.Containers[0].VolumeMounts, func(m corev1.VolumeMount) bool { return m.MountPath == cfg.Graph.TokenDir }))
	for _, mount := range pod.Containers[0].VolumeMounts {
		require.True(t, mount.ReadOnly, mount.Name)
		require.Empty(t, mount.SubPath, "a file that is mounted alone does not follow its Secret")
	}
}

// mountedFiles lists the files of Secrets that the first container sees.
func mountedFiles(pod corev1.PodSpec) (files []string) {
	for _, mount := range pod.Containers[0].VolumeMounts {
		for _, volume := range pod.Volumes {
			if volume.Name != mount.Name || volume.Secret == nil {
				continue
			}
			for _, item := range volume.Secret.Items {
				files = append(files, mount.MountPath+"/"+item.Path)
			}
		}
	}
	return files
}

// Credentials of the job's own replace the worker's, whatever they are.
func TestTheJobHasCredentialsOfItsOwn(t *testing.T) {
	t.Parallel()
	r := render(t, `
streams: {owner: job, job: {natsCreds: {name: admin, key: admin.creds}}}
config: {nats: {user: worker}}
secrets: {natsPassword: {name: worker}}
`)
	job, worker := configOf(r, fullname+"-streams").NATS, configOf(r, fullname).NATS
	require.Equal(t, "/etc/capi-dispatcher/nats-creds/admin.creds", job.CredsFile)
	require.Empty(t, job.User+job.PasswordFile)
	require.Equal(t, "worker", worker.User)
	require.Equal(t, "/etc/capi-dispatcher/nats-password/password", worker.PasswordFile)
	require.Empty(t, worker.CredsFile)
}

func TestTheGracePeriodIsLongerThanTheDrain(t *testing.T) {
	t.Parallel()
	for drain, want := range map[string]int64{"": 40, "0s": 15, "1m30.5s": 106, "250ms": 16, "1h": 3615} {
		values := ""
		if drain != "" {
			values = "config: {delivery: {drain_timeout: " + drain + "}}"
		}
		r := render(t, values)
		grace := *deployment(r).Spec.Template.Spec.TerminationGracePeriodSeconds
		require.Equal(t, want, grace, drain)
		require.Greater(t, time.Duration(grace)*time.Second, configOf(r, fullname).Delivery.DrainTimeout+10*time.Second)
	}
	require.EqualValues(t, 35, *deployment(render(t, "terminationGracePeriodSeconds: 35")).Spec.Template.Spec.TerminationGracePeriodSeconds)
}

// A change of the configuration rolls the workers; a change of a Secret does
// not, and neither does a new version of the chart.
func TestWhatRollsTheWorkers(t *testing.T) {
	t.Parallel()
	pods := func(values string) corev1.PodTemplateSpec { return deployment(render(t, values)).Spec.Template }
	before := pods("")
	require.NotEqual(t, before, pods("config: {batch: {linger: 1s}}"))
	require.Equal(t, before, pods("podMonitor: {enabled: true}\nprometheusRule: {enabled: true}\nkeda: {enabled: true}\n"+scraped))
	require.NotContains(t, before.Labels, "helm.sh/chart")
	for _, volume := range before.Spec.Volumes {
		require.Nil(t, volume.Secret, "tokens are projected, so that several Secrets make one directory")
	}
}

func TestGoKnowsTheMemoryLimit(t *testing.T) {
	t.Parallel()
	for memory, want := range map[string]string{"256Mi": "214748364", "1Gi": "858993459", "500M": "400000000", "1000000000": "800000000", "1.5Gi": "1288490188"} {
		r := render(t, "resources: {limits: {memory: "+memory+"}}")
		require.Contains(t, deployment(r).Spec.Template.Spec.Containers[0].Env, corev1.EnvVar{Name: "GOMEMLIMIT", Value: want}, memory)
	}
}
