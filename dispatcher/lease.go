package dispatcher

import (
	"context"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/epoch"
)

// leases keeps the messages in hand ours: every third of AckWait it tells the
// server that they are being worked on.
//
// A lease is renewed only if the server is known to have got the word: after
// the signs of life, the connection is flushed, and the lease counts from
// before they were sent. It is never renewed once it has lapsed, because the
// message may be somebody else's by then, nor when its stream is another.
type leases struct {
	conn    *nats.Conn
	ackWait time.Duration

	mu       sync.Mutex
	messages map[*message]struct{}
}

func newLeases(conn *nats.Conn, ackWait time.Duration) *leases {
	return &leases{conn: conn, ackWait: ackWait, messages: make(map[*message]struct{})}
}

// begin counts a message's lease from the moment it was asked for: the server
// cannot have delivered it earlier.
func (l *leases) begin(m *message, asked time.Time) {
	m.lease.Store(asked.Add(l.ackWait).UnixNano())
	l.mu.Lock()
	defer l.mu.Unlock()
	l.messages[m] = struct{}{}
}

func (l *leases) end(m *message) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.messages, m)
}

// count tells how many messages are in hand.
func (l *leases) count() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.messages)
}

// run renews leases until ctx ends.
func (l *leases) run(ctx context.Context) {
	ticker := time.NewTicker(l.ackWait / 12)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			l.renew(ctx, l.due(l.ackWait*2/3+l.ackWait/12))
		case <-ctx.Done():
			return
		}
	}
}

// due lists the messages whose lease is shorter than it should be.
func (l *leases) due(least time.Duration) []*message {
	now := time.Now()
	l.mu.Lock()
	defer l.mu.Unlock()
	var due []*message
	for m := range l.messages {
		if left := m.leaseLeft(now); left > 0 && left < least {
			due = append(due, m)
		}
	}
	return due
}

// renew tells the server that messages are being worked on.
func (l *leases) renew(ctx context.Context, messages []*message) {
	if len(messages) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, l.ackWait/6)
	defer cancel()
	streams := make(map[*epoch.Epoch]bool)
	for _, m := range messages {
		e := m.source.epoch
		if _, known := streams[e]; !known {
			streams[e] = e.Confirm(ctx)
		}
	}
	asked := time.Now()
	renewed := messages[:0]
	for _, m := range messages {
		if streams[m.source.epoch] && !m.lapsed(asked) && m.InProgress() == nil {
			renewed = append(renewed, m)
		}
	}
	if l.conn.FlushWithContext(ctx) != nil {
		return
	}
	for _, m := range renewed {
		// It may have lapsed while we waited for the server.
		if !m.lapsed(time.Now()) {
			m.lease.Store(asked.Add(l.ackWait).UnixNano())
		}
	}
}

// ensure sees to it that every entry's message is ours for at least so long.
// It returns those that are, and those that are not ours any more.
func (l *leases) ensure(ctx context.Context, entries []*entry, least time.Duration) (ours, lost []*entry) {
	now := time.Now()
	short := make(map[*message]struct{})
	for _, e := range entries {
		if e.message.leftToOthers(now, least) {
			short[e.message] = struct{}{}
		}
	}
	if len(short) > 0 {
		messages := make([]*message, 0, len(short))
		for m := range short {
			messages = append(messages, m)
		}
		l.renew(ctx, messages)
		now = time.Now()
	}
	for _, e := range entries {
		if e.message.leftToOthers(now, least) {
			lost = append(lost, e)
		} else {
			ours = append(ours, e)
		}
	}
	return ours, lost
}
