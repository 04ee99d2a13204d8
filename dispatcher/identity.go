package dispatcher

import (
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
