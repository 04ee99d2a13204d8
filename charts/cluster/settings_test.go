package cluster_test

import (
	"encoding/json"
	"net/http"
	"slices"
	"time"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
)

// otherSettings are settings that all workers have to agree on. What tells events
// apart is the third: it is compared with these, in one line, and stays here as it
// is, because copies of what was sent under another are accepted once more.
const otherSettings = "config.nats.ack_wait=12s,config.nats.max_ack_pending=25000"

// What the consumers say of the settings, before and after.
const (
	settingsBefore = "nats.ack_wait=10s nats.max_ack_pending=20000 dedupe.key=event"
	settingsAfter  = "nats.ack_wait=12s nats.max_ack_pending=25000 dedupe.key=event"

	waits = "workers with other settings use consumer capi-dispatcher on stream CAPI: they have " + settingsBefore + ", and ours are " + settingsAfter
)

var impatient = &http.Client{Timeout: 5 * time.Second}

// changeSettings upgrades to settings that the old workers do not have. The new
// ones get ready and wait, so that the old ones are stopped; they begin when those
// are gone, and not before. The workers may change the consumers, as they may by
// default: where a job does it, that would wait for the workers to be stopped.
func (r *rollout) changeSettings() {
	r.t.Helper()
	old := r.addresses()
	upgraded := r.begin("upgrade", "shop", chartDir, "--values", r.values, "--wait", "--timeout", "2m",
		"--set", otherSettings, "--set", "streams.owner=worker,secrets.natsCreds.name=nats-both")
	r.await("a new worker is ready, and waits", func() bool {
		return slices.ContainsFunc(r.workers(), func(worker corev1.Pod) bool {
			return isReady(&worker) && r.others(&worker).Reason == waits
		})
	})
	upgraded()
	next := r.addresses()
	r.await("the new workers begin", func() bool { return !r.servers.graph.firstOf(next).IsZero() && r.nobodyWaits() })
	r.requireTold()
	for _, stream := range []string{"CAPI", "CAPI_PARKED"} {
		have := r.servers.consumer(stream)
		require.Equal(r.t, settingsAfter, have.Metadata["capi-dispatcher-settings"])
		require.Equal(r.t, 12*time.Second, have.AckWait)
		require.Equal(r.t, 25000, have.MaxAckPending)
	}
	gap := r.servers.graph.firstOf(next).Sub(r.servers.graph.lastOf(old))
	require.Positive(r.t, gap, "old and new workers are at work at once")
	r.t.Logf("the new workers began %s after the old ones had ended", gap.Round(100*time.Millisecond))
}

// condition is one of those that a worker tells the state of.
type condition struct {
	Name   string
	OK     bool
	Reason string
}

// others is what a worker says of workers with other settings.
func (r *rollout) others(worker *corev1.Pod) (about condition) {
	r.t.Helper()
	answer, err := impatient.Get("http://" + worker.Status.PodIP + ":8080/readyz")
	if err != nil {
		return condition{} // it is about to go
	}
	defer func() { _ = answer.Body.Close() }()
	var said struct{ Conditions []condition }
	require.NoError(r.t, json.NewDecoder(answer.Body).Decode(&said))
	for _, c := range said.Conditions {
		if c.Name == "workers" {
			about = c
		}
	}
	return about
}

func (r *rollout) nobodyWaits() bool {
	r.t.Helper()
	return !slices.ContainsFunc(r.workers(), func(worker corev1.Pod) bool { return !r.others(&worker).OK })
}

// requireTold asserts that the log of each worker says that it has waited, and
// that it waits no longer.
func (r *rollout) requireTold() {
	r.t.Helper()
	for _, worker := range r.workers() {
		log := r.log(&worker)
		require.Regexp(r.t, `"this worker takes no events until the workers with other settings are gone".*"reason":"`+waits+`"`, log)
		for _, stream := range []string{"CAPI", "CAPI_PARKED"} {
			require.Regexp(r.t, `"the workers with other settings are gone".*"stream":"`+stream+`"`, log)
		}
	}
}

func (r *rollout) addresses() (ips []string) {
	r.t.Helper()
	for _, worker := range r.workers() {
		ips = append(ips, worker.Status.PodIP)
	}
	return ips
}
