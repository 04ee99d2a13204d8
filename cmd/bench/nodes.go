package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/capi-dispatcher/capi-dispatcher/cmd/bench/process"
	"github.com/capi-dispatcher/capi-dispatcher/cmd/internal/connect"
	"github.com/capi-dispatcher/capi-dispatcher/config"
	"github.com/capi-dispatcher/capi-dispatcher/internal/secret"
)

// natsConfig is a node's, which chooses its port itself. The store is given more
// room than any disk has, as NATS sets aside what the streams might need.
const natsConfig = `
server_name: node-%d
listen: "127.0.0.1:-1"
jetstream: {store_dir: %q, max_file_store: 1TB}
%s`

func (s *stage) startNATS(ctx context.Context) error {
	routes, err := s.natsRoutes(ctx)
	if err != nil {
		return err
	}
	for node := range s.nodes {
		p, err := s.startNATSNode(ctx, node, routes)
		if err != nil {
			return err
		}
		s.nats = append(s.nats, p)
		s.atEnd(p.End)
	}
	urls := make([]string, s.nodes)
	for node, p := range s.nats {
		address, err := p.Said(ctx, regexp.MustCompile(`Listening for client connections on (\S+)(?s:.*)Server is ready`))
		if err != nil {
			return err
		}
		urls[node] = "nats://" + address
	}
	s.config.NATS.URL, s.config.NATS.Replicas = secret.URLs(strings.Join(urls, ",")), s.nodes
	return s.connectToNATS(ctx)
}

// natsRoutes are where the nodes of a cluster find each other.
func (s *stage) natsRoutes(ctx context.Context) (routes []string, err error) {
	if s.nodes == 1 {
		return nil, nil
	}
	for range s.nodes {
		port, err := freePort(ctx)
		if err != nil {
			return nil, err
		}
		routes = append(routes, fmt.Sprintf("127.0.0.1:%d", port))
	}
	return routes, nil
}

func (s *stage) startNATSNode(ctx context.Context, node int, routes []string) (*process.Process, error) {
	binary, file := filepath.Join(s.dir, "nats-server"), filepath.Join(s.dir, fmt.Sprintf("nats-%d.conf", node))
	cluster := ""
	if len(routes) > 0 {
		cluster = fmt.Sprintf("cluster: {name: bench, listen: %q, routes: [\"nats://%s\"]}\n",
			routes[node], strings.Join(routes, `", "nats://`))
	}
	text := fmt.Sprintf(natsConfig, node, filepath.Join(s.dir, fmt.Sprintf("nats-%d", node)), cluster)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		return nil, err
	}
	return process.Start(ctx, s.dir, "nats", binary, "--config", file)
}

// connectToNATS waits until there is a JetStream, which a cluster elects a leader
// for.
func (s *stage) connectToNATS(ctx context.Context) error {
	js, err := connect.NATSNow(&s.config.NATS, connect.Publish)
	if err != nil {
		return err
	}
	s.js = js
	s.atEnd(js.Conn().Close)
	return s.nats.leader().Await(ctx, "have JetStream", 50*time.Millisecond, func() (bool, error) {
		_, err := js.AccountInfo(ctx)
		return err == nil, ctx.Err()
	})
}

func (s *stage) startRedis(ctx context.Context) (err error) {
	binary, err := exec.LookPath("redis-server")
	if err != nil {
		return fmt.Errorf("redis-server is needed; `make redis` installs it: %w", err)
	}
	ports := make([]int, s.nodes)
	for node := range ports {
		if ports[node], err = s.startRedisNode(ctx, binary); err != nil {
			return err
		}
	}
	s.config.Redis.URL = secret.URLs(fmt.Sprintf("redis://127.0.0.1:%d", ports[0]))
	if s.nodes > 1 {
		s.config.Redis.Mode = config.Cluster
		if err := s.joinRedis(ctx, ports); err != nil {
			return err
		}
	}
	if s.claims, err = connect.Redis(&s.config.Redis, 1); err != nil {
		return err
	}
	s.atEnd(func() { _ = s.claims.Close() })
	return nil
}

// startRedisNode runs a server, and returns its port.
func (s *stage) startRedisNode(ctx context.Context, binary string) (port int, err error) {
	for range 5 { // another program may take the port before redis-server does
		if port, err = freePort(ctx); err != nil {
			return 0, err
		}
		if err = s.tryRedis(ctx, binary, port); err == nil || ctx.Err() != nil {
			break
		}
	}
	return port, err
}

func (s *stage) tryRedis(ctx context.Context, binary string, port int) error {
	args := []string{
		"--port", strconv.Itoa(port), "--bind", "127.0.0.1", "--dir", s.dir, "--save", "", "--appendonly", "no",
	}
	if s.nodes > 1 {
		args = append(args, "--cluster-enabled", "yes", "--cluster-config-file", fmt.Sprintf("redis-%d.conf", port))
	}
	p, err := process.Start(ctx, s.dir, "redis", binary, args...)
	if err != nil {
		return err
	}
	if _, err := p.Said(ctx, regexp.MustCompile("(Ready to accept connections)")); err != nil {
		p.End()
		return err
	}
	s.redis = append(s.redis, p)
	s.atEnd(p.End)
	return nil
}

// joinRedis makes a cluster of the servers, each with its part of the slots.
func (s *stage) joinRedis(ctx context.Context, ports []int) error {
	args := []string{"--cluster-yes", "--cluster", "create"}
	for _, port := range ports {
		args = append(args, fmt.Sprintf("127.0.0.1:%d", port))
	}
	if out, err := process.Command(ctx, "redis-cli", args...).CombinedOutput(); err != nil {
		return fmt.Errorf("making a Redis Cluster: %w: %s", err, out)
	}
	return nil
}

// forgetClaims empties Redis.
func (s *stage) forgetClaims(ctx context.Context) error {
	if cluster, ok := s.claims.(*redis.ClusterClient); ok {
		return cluster.ForEachMaster(ctx, func(ctx context.Context, node *redis.Client) error {
			return node.FlushAll(ctx).Err()
		})
	}
	return s.claims.FlushAll(ctx).Err()
}

// freePort is a port for a server that cannot choose one itself.
func freePort(ctx context.Context) (int, error) {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer func() { _ = listener.Close() }()
	return listener.Addr().(*net.TCPAddr).Port, nil
}
