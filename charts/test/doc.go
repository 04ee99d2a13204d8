// Package test holds the tests of the Helm chart in charts/capi-dispatcher.
//
// Everything is rendered twice, by Helm 3 and by Helm 4, which have to agree.
// What comes out is held against the schemas of Kubernetes and of the operators
// whose resources are used, against the Pod Security standard "restricted", and
// against the program itself: its configuration loads, its metrics are those
// that the alerts ask for, and its probes answer.
package test
