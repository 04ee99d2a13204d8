package dispatcher

import (
	"sync"

	"github.com/capi-dispatcher/capi-dispatcher/dedupe"
	"github.com/capi-dispatcher/capi-dispatcher/graph/event"
)

// identify finds what tells an event from all others: its event_id, else the
// Nats-Msg-Id it was published with, else its content. The consumer's name is
// part of it, so that two pipelines on one stream do not meet in Redis.
func (d *Dispatcher) identify(dataset string, e *event.Event, h *history) dedupe.Key {
	namespace := d.cfg.Streams.Consumer
	switch {
	case e.ID != "" && d.cfg.Identity == ByEventID:
		return dedupe.NewKey(namespace, dataset, "event_id", e.ID)
	case e.ID != "":
		return dedupe.NewKey(namespace, dataset, "event", e.Name, e.ID)
	case h.messageID != "":
		return dedupe.NewKey(namespace, dataset, "message", h.dedupeID())
	default:
		return dedupe.NewKey(namespace, dataset, "content", string(e.ContentKey()))
	}
}

// identities are the events in hand, one leader an identity. The same identity
// again follows the leader and shares its outcome: within one process nobody
// has to ask Redis.
type identities struct {
	mu      sync.Mutex
	leaders map[dedupe.Key]*entry
}

func newIdentities() *identities {
	return &identities{leaders: make(map[dedupe.Key]*entry)}
}

// join makes an entry the leader of its identity, or a follower.
func (i *identities) join(e *entry) (leads bool) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if leader := i.leaders[e.key]; leader != nil {
		leader.followers = append(leader.followers, e)
		return false
	}
	i.leaders[e.key] = e
	return true
}

// leave takes a leader out and returns its followers. If promote is set, the
// first of them leads from now on, and the others follow it: only that one is
// returned.
func (i *identities) leave(e *entry, promote bool) []*entry {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.leaders[e.key] != e {
		return nil // it never led: it did not get as far as a batch
	}
	followers := e.followers
	e.followers = nil
	delete(i.leaders, e.key)
	if promote && len(followers) > 0 {
		next := followers[0]
		next.followers = followers[1:]
		i.leaders[next.key] = next
		return followers[:1]
	}
	return followers
}
