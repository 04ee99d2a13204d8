package deadletter

import (
	"cmp"
	"math"
	"strconv"

	"github.com/nats-io/nats.go"

	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/header"
	"github.com/capi-dispatcher/capi-dispatcher/graph/event"
)

// A letter has to be stored, whatever the event is: one that JetStream refuses
// would come back for ever. JetStream takes 64 KB of headers (NATS 2.15), and
// max_payload, or the stream's own max_msg_size, in all.

// mostDetail bounds the header of faults. The other headers are bounded where
// they are made: those of producers to 8 KB each, of which there are four, and
// what Meta says to a thousand characters.
const mostDetail = 8 << 10

// MostContentIDs is how many of its events a letter can identify by what was
// published: they take 13 KB of headers.
const MostContentIDs = 200

// detail renders faults in at most mostDetail bytes: as many of the first as fit,
// and how many there are beside them.
func detail(faults []event.Fault) string {
	if line := event.MarshalFaults(faults); len(line) <= mostDetail {
		return line
	}
	kept := make([]event.Fault, 0, len(faults))
	size := len(event.MarshalFaults([]event.Fault{event.MoreThan(len(faults))}))
	for _, f := range faults {
		f.Pointer, f.Message = shorten(f.Pointer), shorten(f.Message)
		if size += len(event.MarshalFaults([]event.Fault{f})); size > mostDetail {
			break
		}
		kept = append(kept, f)
	}
	return event.MarshalFaults(append(kept, event.MoreThan(len(faults)-len(kept))))
}

// shorten cuts off what is longer than any sentence of ours.
func shorten(text string) string {
	const most = 500
	line := []rune(text)
	if len(line) <= most {
		return text
	}
	return string(line[:most]) + "…"
}

// cutOff takes off the end of an event what does not fit, and says how long it
// was. The events' stream has the whole of it, for as long as it keeps events.
func cutOff(msg *nats.Msg, maxPayload int) {
	const room = 512 // for the message id, and for saying that it is cut off
	if over := msg.Size() + room - maxPayload; over > 0 {
		whole := cmp.Or(msg.Header.Get(header.CutOff), strconv.Itoa(len(msg.Data)))
		msg.Header.Set(header.CutOff, whole)
		msg.Data = msg.Data[:max(0, len(msg.Data)-over)]
	}
}

// Minimal renders the letter as small as it can be, for a stream that takes
// nothing larger: why, and where the event is to be found.
func (l *Letter) Minimal(root string) *nats.Msg {
	minimal := Letter{
		Dataset: l.Dataset, Reason: l.Reason, Claim: l.Claim, CutOff: cmp.Or(l.CutOff, len(l.Event)),
		FirstSeen: l.FirstSeen, DeadLetteredAt: l.DeadLetteredAt, OriginSequence: l.OriginSequence,
	}
	const longestSubject = 100
	if len(l.OriginSubject) <= longestSubject {
		minimal.OriginSubject = l.OriginSubject
	}
	return minimal.Message(root, math.MaxInt32)
}
