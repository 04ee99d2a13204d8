package parked

import (
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/header"
)

// Waiting is an event that waits, as it lies in the stream.
type Waiting struct {
	Subject  string
	Sequence uint64
	Message  *nats.Msg
}

// Reason returns why the event waits.
func (w *Waiting) Reason() Reason { return reasonOf(w.Message.Header) }

// DueAt returns when the server brings it back by itself.
func (w *Waiting) DueAt() time.Time {
	at, err := time.Parse(time.RFC3339, strings.TrimPrefix(w.Message.Header.Get(jetstream.ScheduleHeader), "@at "))
	if err != nil {
		return time.Time{}
	}
	return at
}

// StoredAt returns when the server stored it.
func (w *Waiting) StoredAt() time.Time {
	return timeIn(w.Message.Header, jetstream.TimeStampHeaer, time.Time{})
}

// TriedAlone reports whether Meta has refused the event alone.
func (w *Waiting) TriedAlone() bool { return w.Message.Header.Get(header.RefusedAlone) != "" }

// woken is the event as a message that takes its place. The server's own headers
// would contradict the new ones; with the same message id it would count as a
// repetition. accepted is what [Event] says of it.
func (w *Waiting) woken(now, accepted time.Time) *nats.Msg {
	msg := nats.NewMsg(w.Subject)
	msg.Data = w.Message.Data
	for name, values := range w.Message.Header {
		if !strings.HasPrefix(name, "Nats-") {
			msg.Header[name] = values
		}
	}
	msg.Header.Set(header.Recalled, stamp(now))
	if !accepted.IsZero() {
		msg.Header.Set(header.Accepted, stamp(accepted))
	}
	return msg
}
