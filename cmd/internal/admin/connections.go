package admin

import (
	"net"
	"net/http"
	"slices"
	"sync"
)

// connections bounds how many connections are open, and yet turns nobody away:
// for one too many, the one that has been idle for the longest is closed. A
// probe gets in at once, whatever the others are held for.
type connections struct {
	most int

	mu   sync.Mutex
	open []connection // the one whose state changed last is the last
}

type connection struct {
	net.Conn
	busy bool // with a request
}

// track is the server's ConnState: it is called before a new connection is
// served.
func (c *connections) track(conn net.Conn, state http.ConnState) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.open = slices.DeleteFunc(c.open, func(o connection) bool { return o.Conn == conn })
	if state == http.StateClosed || state == http.StateHijacked {
		return
	}
	c.open = append(c.open, connection{conn, state == http.StateActive})
	if len(c.open) > c.most {
		c.closeOne()
	}
}

// closeOne closes a connection other than the last: the first idle one, or the
// first of all if all are busy.
func (c *connections) closeOne() {
	others := c.open[:len(c.open)-1]
	i := max(0, slices.IndexFunc(others, func(o connection) bool { return !o.busy }))
	_ = others[i].Close()
	c.open = slices.Delete(c.open, i, i+1)
}
