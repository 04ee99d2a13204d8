package dispatcher

import (
	"crypto/sha256"
	"encoding/hex"
	"time"

	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/parked"
	"github.com/capi-dispatcher/capi-dispatcher/graph"
	"github.com/capi-dispatcher/capi-dispatcher/graph/event"
)

// A message that came in has to fit when it goes out again, with our headers:
// what could be neither parked nor dead-lettered would come back for ever.
// JetStream takes 64 KB of headers, and max_payload in all.

// longHeader is what is too long for a header. No more than four of them come
// from a producer, so all fit together with ours.
const longHeader = 8 << 10

// shortID stands in for an id that is too long for a header, or that may be a
// secret. The same id always has the same one.
func shortID(id string) string {
	const most = 256
	if len(id) <= most && !event.HoldsToken(id) {
		return id
	}
	sum := sha256.Sum256([]byte(id))
	return "sha256-" + hex.EncodeToString(sum[:])
}

// pack renders events of one envelope for a stream: one event as it is, several
// as a request body. The envelope goes into a header; where it is too long for
// that, it stands around the events, as it did in the request body.
func pack(envelope event.Envelope, entries ...*entry) (data []byte, header string) {
	header = envelope.Marshal()
	if len(entries) == 1 && len(header) <= longHeader {
		return entries[0].event.Raw, header
	}
	events := make([][]byte, len(entries))
	for i, e := range entries {
		events[i] = e.event.Raw
	}
	if len(header) <= longHeader {
		return event.Body("", events...), header
	}
	return event.Body(header, events...), ""
}

// maxPayload is the largest message that the server takes, headers and all.
func (d *Dispatcher) maxPayload() int { return int(d.deps.JetStream.Conn().MaxPayload()) }

// mostInALetter is how many bytes of events go into one letter, so that no event
// has to be cut off for the sake of others.
func (d *Dispatcher) mostInALetter() int { return min(256<<10, d.maxPayload()/2) }

// canBeParked reports whether an event may become a message of the parked
// stream: with our headers, it might be more than NATS takes.
func (d *Dispatcher) canBeParked(e *entry) bool {
	const mostHeaders, messageID = 64 << 10, 512
	most := d.maxPayload()
	if graph.Overhead(e.lane.envelope)+len(e.event.Raw) <= most-mostHeaders {
		return true // whatever its headers are
	}
	return d.parkedMessage(e, parked.Congested, time.Now()).Msg.Size()+messageID <= most
}
