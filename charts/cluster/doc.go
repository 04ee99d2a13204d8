// Package cluster installs the Helm chart into a real Kubernetes: etcd, API
// server, controller manager and scheduler.
//
// The life of a release, with every way to install it, is led on nodes that are
// only played: their pods run no code. Then one real node, kubelet and
// containerd, runs the real image against NATS, Redis and the simulated Graph
// API, and what the API has accepted is held against what was published. All
// of that is in namespaces of the kernel that vanish with the test.
package cluster
