package graph

import (
	"context"
	"errors"
	"net"
	"net/http"
	"sync/atomic"
	"time"
)

// distrusted is for how long no connection is used twice after one has broken at
// its second use.
const distrusted = 5 * time.Minute

// stale notices a server, or something on the way to it, that closes connections
// soon after an answer. A request that meets the closing is of unknown outcome,
// although nobody has read it; so for a while each gets a connection of its own.
type stale struct {
	until atomic.Int64 // in Unix nanoseconds
}

// note is told of a request without an answer.
func (s *stale) note(p *progress, err error) {
	timeout, ok := errors.AsType[net.Error](err)
	if ok && timeout.Timeout() || errors.Is(err, context.Canceled) {
		return // it may be the dataset's own trouble
	}
	if p.reused.Load() && p.written.Load() {
		s.until.Store(time.Now().Add(distrusted).UnixNano())
	}
}

// over returns what to send a request with.
func (c *Client) over(fresh bool) *http.Client {
	if fresh || time.Now().UnixNano() < c.stale.until.Load() {
		return c.fresh
	}
	return c.http
}

// usedOnce returns the same transport, but that it keeps no connection.
func usedOnce(transport http.RoundTripper) http.RoundTripper {
	pooled, ok := transport.(*http.Transport)
	if !ok {
		return transport
	}
	once := pooled.Clone()
	once.DisableKeepAlives = true
	return once
}
