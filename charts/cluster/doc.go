// Package cluster installs the Helm chart into a real control plane of
// Kubernetes: etcd, API server, controller manager and scheduler, with nodes
// and pods that are only played (by kwok).
package cluster
