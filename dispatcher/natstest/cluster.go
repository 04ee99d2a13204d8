package natstest

import (
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/stretchr/testify/require"

	"github.com/capi-dispatcher/capi-dispatcher/internal/porttest"
)

// Cluster is a JetStream cluster in this process. It ends with the test.
type Cluster struct {
	Nodes []*Server

	t testing.TB
}

// StartCluster runs a number of servers as one cluster, and returns once a stream
// can have a copy on each. Clients learn of no server that they are not told of.
func StartCluster(tb testing.TB, nodes int) *Cluster {
	tb.Helper()
	c := &Cluster{t: tb}
	var routes []*url.URL
	var ports []int
	for range nodes {
		ports = append(ports, porttest.Port(tb))
		routes = append(routes, &url.URL{Scheme: "nats", Host: fmt.Sprint("127.0.0.1:", ports[len(ports)-1])})
	}
	for i := range nodes {
		options := &server.Options{
			ServerName: fmt.Sprintf("node-%d", i+1), Host: "127.0.0.1", Port: porttest.Port(tb),
			JetStream: true, JetStreamMaxStore: roomy, StoreDir: tb.TempDir(), NoSigs: true, NoLog: true, Routes: routes,
			Cluster: server.ClusterOpts{
				Name: "test", Host: "127.0.0.1", Port: ports[i], NoAdvertise: true,
			},
		}
		node := &Server{t: tb, options: options}
		tb.Cleanup(node.Stop)
		c.Nodes = append(c.Nodes, node)
		running, err := server.NewServer(options.Clone())
		require.NoError(tb, err)
		running.Start()
		node.running = running
	}
	for _, node := range c.Nodes {
		require.True(tb, node.running.ReadyForConnections(30*time.Second), "NATS does not start")
		node.url = node.running.ClientURL()
	}
	require.Eventually(tb, c.sound, 30*time.Second, 20*time.Millisecond, "the cluster does not come about")
	return c
}

// sound reports whether every node follows the leader, and that the leader has heard
// from each: before that, it finds no place for a stream with a copy on each.
func (c *Cluster) sound() bool {
	known := 0
	for _, node := range c.Nodes {
		if !node.Running() || !node.running.JetStreamIsCurrent() {
			return false
		}
		known = max(known, len(node.running.JetStreamClusterPeers())) // none, but for the leader
	}
	return known == len(c.Nodes)
}

// URL lists the servers' addresses.
func (c *Cluster) URL() string {
	var urls []string
	for _, node := range c.Nodes {
		urls = append(urls, node.URL())
	}
	return strings.Join(urls, ",")
}

// Leader is the number of the node that leads a stream, or -1 while none does.
func (c *Cluster) Leader(stream string) int {
	for i, node := range c.Nodes {
		if node.Running() && node.running.JetStreamIsStreamLeader("$G", stream) {
			return i
		}
	}
	return -1
}

// Running reports whether the server has been started and not stopped since.
func (s *Server) Running() bool { return s.running != nil }
