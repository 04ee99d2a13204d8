package dispatcher

import (
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strconv"

	"github.com/nats-io/nats.go"

	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/deadletter"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/header"
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

// withEnvelope puts an event and what its request body said beside it together
// again, where that is too long for a header.
func withEnvelope(raw []byte, envelope string) []byte {
	return slices.Concat([]byte(`{"data":[`), raw, []byte(`],`), []byte(envelope[1:]))
}

// letterMessage renders a dead letter so that the server takes it. An event that
// is too large even so is cut off: the events' stream has the whole of it, for
// as long as it keeps events.
func (d *Dispatcher) letterMessage(letter *deadletter.Letter) *nats.Msg {
	if len(letter.Envelope) > longHeader {
		letter.Event, letter.Envelope = withEnvelope(letter.Event, letter.Envelope), ""
	}
	msg := letter.Message(d.cfg.Streams.DeadLetterSubject)
	const room = 512 // for the message id, and for saying that it is cut off
	if over := msg.Size() + room - int(d.deps.JetStream.Conn().MaxPayload()); over > 0 {
		msg.Header.Set(header.CutOff, strconv.Itoa(len(msg.Data)))
		msg.Data = msg.Data[:max(0, len(msg.Data)-over)]
	}
	return msg
}
