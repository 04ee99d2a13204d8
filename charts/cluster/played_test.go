package cluster_test

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
)

// nodes plays two nodes in two zones. Their pods run no code: they are ready as
// soon as they are placed, are done at once where they are meant to be done,
// and vanish when they are deleted.
type nodes struct {
	*controlPlane

	frozen atomic.Bool // nothing happens on the nodes
}

func (c *controlPlane) addNodes() *nodes {
	c.t.Helper()
	for name, zone := range map[string]string{"node-a": "zone-a", "node-b": "zone-b"} {
		room := corev1.ResourceList{
			corev1.ResourceCPU: resource.MustParse("8"), corev1.ResourceMemory: resource.MustParse("16Gi"),
			corev1.ResourcePods: resource.MustParse("50"), corev1.ResourceEphemeralStorage: resource.MustParse("50Gi"),
		}
		_, err := c.client.CoreV1().Nodes().Create(c.t.Context(), &corev1.Node{
			ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"topology.kubernetes.io/zone": zone, "kubernetes.io/hostname": name}},
			Status: corev1.NodeStatus{
				Capacity: room, Allocatable: room,
				Conditions: []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue}},
			},
		}, metav1.CreateOptions{})
		require.NoError(c.t, err)
		// A new node is tainted until the controller that we do without finds it ready.
		_, err = c.client.CoreV1().Nodes().Patch(c.t.Context(), name, types.MergePatchType, []byte(`{"spec":{"taints":null}}`), metav1.PatchOptions{})
		require.NoError(c.t, err)
	}
	n := &nodes{controlPlane: c}
	ctx, stop := context.WithCancel(context.Background())
	var done sync.WaitGroup
	done.Go(func() { n.play(ctx) })
	c.t.Cleanup(func() { stop(); done.Wait() })
	return n
}

func (n *nodes) play(ctx context.Context) {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		pods, err := n.client.CoreV1().Pods("").List(ctx, metav1.ListOptions{})
		if err != nil || n.frozen.Load() {
			continue
		}
		for _, pod := range pods.Items {
			n.step(ctx, &pod)
		}
	}
}

// step does what a kubelet would do next with a pod. What fails is tried again
// at the next tick.
func (n *nodes) step(ctx context.Context, pod *corev1.Pod) {
	api := n.client.CoreV1().Pods(pod.Namespace)
	switch {
	case pod.Spec.NodeName == "":
	case pod.DeletionTimestamp != nil:
		_ = api.Delete(ctx, pod.Name, metav1.DeleteOptions{GracePeriodSeconds: ptr.To[int64](0)})
	case pod.Status.Phase != corev1.PodPending:
	case pod.Spec.RestartPolicy == corev1.RestartPolicyNever:
		pod.Status.Phase = corev1.PodSucceeded
		_, _ = api.UpdateStatus(ctx, pod, metav1.UpdateOptions{})
	default:
		pod.Status.Phase = corev1.PodRunning
		pod.Status.StartTime = &metav1.Time{Time: time.Now()}
		for _, condition := range []corev1.PodConditionType{corev1.ContainersReady, corev1.PodReady} {
			pod.Status.Conditions = append(pod.Status.Conditions,
				corev1.PodCondition{Type: condition, Status: corev1.ConditionTrue, LastTransitionTime: metav1.Now()})
		}
		_, _ = api.UpdateStatus(ctx, pod, metav1.UpdateOptions{})
	}
}
