package e2e_test

import (
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// proxy stands between the workers and a server. It can stop the world at one
// step of a protocol, cut connections, refuse new ones, and take its time.
type proxy struct {
	t        *testing.T
	listener net.Listener
	done     sync.WaitGroup

	// stopped is set when a hold is reached: nothing passes any more. Proxies
	// may share it.
	stopped *atomic.Bool

	mu      sync.Mutex
	target  string
	conns   map[*link]struct{}
	armed   *hold
	refuses bool
	latency time.Duration
}

// direction is where bytes go.
type direction int

const (
	toServer direction = iota
	toClient
	connecting // no bytes at all: a connection is being made
)

// hold is a step at which the world stops, once. What matches is not passed on,
// nor is anything after it.
type hold struct {
	at direction
	// after, if set, has to be seen on its way to the server first.
	after   func(chunk []byte) bool
	match   func(chunk []byte) bool
	reached chan struct{}

	seen *link // where after was seen
}

// link is one connection through the proxy.
type link struct {
	client, server net.Conn
	closed         chan struct{}
	once           sync.Once
}

// newProxy listens for a server of that address.
func newProxy(t *testing.T, target string) *proxy {
	t.Helper()
	return newProxyOf(t, new(atomic.Bool), target)
}

// newProxyOf is a proxy that stops with others.
func newProxyOf(t *testing.T, stopped *atomic.Bool, target string) *proxy {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	p := &proxy{t: t, listener: listener, target: target, conns: make(map[*link]struct{}), stopped: stopped}
	p.done.Go(p.accept)
	t.Cleanup(func() {
		_ = listener.Close()
		p.cut()
		p.done.Wait()
	})
	return p
}

func (p *proxy) address() string { return p.listener.Addr().String() }

// hold arms the proxy. The channel is closed when the step is reached.
func (p *proxy) hold(h hold) <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	h.reached = make(chan struct{})
	p.armed = &h
	return h.reached
}

// cut breaks all connections.
func (p *proxy) cut() {
	p.mu.Lock()
	links := make([]*link, 0, len(p.conns))
	for l := range p.conns {
		links = append(links, l)
	}
	p.mu.Unlock()
	for _, l := range links {
		l.close()
	}
}

// refuse breaks all connections and lets no new ones come about, or does again.
func (p *proxy) refuse(yes bool) {
	p.mu.Lock()
	p.refuses = yes
	p.mu.Unlock()
	if yes {
		p.cut()
	}
}

// slow makes each piece of data wait for up to so long, in either direction.
func (p *proxy) slow(latency time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.latency = latency
}

// point sends new connections to that server.
func (p *proxy) point(target string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.target = target
}

func (p *proxy) accept() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		p.mu.Lock()
		target, refuses := p.target, p.refuses
		p.mu.Unlock()
		server, err := net.DialTimeout("tcp", target, time.Second)
		if err != nil || refuses {
			_ = client.Close()
			if err == nil {
				_ = server.Close()
			}
			continue
		}
		l := &link{client: client, server: server, closed: make(chan struct{})}
		p.mu.Lock()
		p.conns[l] = struct{}{}
		p.mu.Unlock()
		p.stops(l, connecting, nil)
		p.done.Go(func() { p.pass(l, toServer, client, server) })
		p.done.Go(func() { p.pass(l, toClient, server, client) })
	}
}

// pass passes bytes on until the connection ends or the world stops.
func (p *proxy) pass(l *link, way direction, from, to net.Conn) {
	defer p.forget(l)
	buffer := make([]byte, 64<<10)
	for {
		n, err := from.Read(buffer)
		if err != nil {
			return
		}
		if p.stops(l, way, buffer[:n]) {
			<-l.closed
			return
		}
		if latency := p.delay(); latency > 0 {
			time.Sleep(latency)
		}
		if _, err := to.Write(buffer[:n]); err != nil {
			return
		}
	}
}

func (p *proxy) delay() time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.latency == 0 {
		return 0
	}
	return rand.N(p.latency)
}

// stops tells whether the world is to stop, now or since before.
func (p *proxy) stops(l *link, way direction, chunk []byte) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if h := p.armed; h != nil {
		if h.after != nil && h.seen == nil && way == toServer && h.after(chunk) {
			h.seen = l
		}
		if h.at == way && (h.after == nil || h.seen == l) && (h.match == nil || h.match(chunk)) {
			p.armed = nil
			p.stopped.Store(true)
			close(h.reached)
		}
	}
	return p.stopped.Load()
}

func (p *proxy) forget(l *link) {
	l.close()
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.conns, l)
}

func (l *link) close() {
	l.once.Do(func() {
		close(l.closed)
		_ = l.client.Close()
		_ = l.server.Close()
	})
}
