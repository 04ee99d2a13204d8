// Package memredis is a Redis within the process, for demonstrations and for
// tests to which a real server adds nothing. Keys age in it: miniredis has no
// clock of its own, and claims have their time.
package memredis

import (
	"sync"
	"time"

	"github.com/alicebob/miniredis/v2"
)

// Server is a running server. Addr may be called concurrently.
type Server struct {
	redis *miniredis.Miniredis
	aging sync.WaitGroup
	ended chan struct{}
}

// Start runs a server on a free port of this machine. The caller closes it.
func Start() (*Server, error) {
	redis, err := miniredis.Run()
	if err != nil {
		return nil, err
	}
	s := &Server{redis: redis, ended: make(chan struct{})}
	s.aging.Go(s.letTimePass)
	return s, nil
}

// Addr is the server's host:port.
func (s *Server) Addr() string { return s.redis.Addr() }

// Close ends the server. It is called once.
func (s *Server) Close() {
	close(s.ended)
	s.aging.Wait()
	s.redis.Close()
}

func (s *Server) letTimePass() {
	const tick = time.Second
	ticker := time.NewTicker(tick)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			s.redis.FastForward(tick)
		case <-s.ended:
			return
		}
	}
}
