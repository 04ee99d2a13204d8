package dispatcher

import (
	"errors"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/rights"
)

// publication is a message on its way into a stream, on behalf of entries.
type publication struct {
	entries []*entry
	msg     *nats.Msg
	minimal func() *nats.Msg // what is stored instead where msg does not fit, if anything
	opts    []jetstream.PublishOpt
	letter  *undelivered // that it carries, if it does
	future  jetstream.PubAckFuture
	number  uint64 // in the stream, once it is stored
	err     error
}

// move publishes events to the parked stream and settles them. The claim is
// given up once the event is safe there: being another message, it may then be
// sent when it comes back.
func (d *Dispatcher) move(publications []*publication) {
	stored, refused := d.parking.publish(publications)
	moved := entriesOf(stored)
	d.release(moved)
	d.settleAll(moved, postponed)
	d.leaveThere(refused)
}

// leaveThere leaves events where they are that could be stored nowhere else.
func (d *Dispatcher) leaveThere(refused []*publication) {
	left := entriesOf(refused)
	d.releaseUnsent(left)
	d.returnLater(left, d.cfg.Delivery.Park.Delay(0))
}

func entriesOf(publications []*publication) (entries []*entry) {
	for _, p := range publications {
		entries = append(entries, p.entries...)
	}
	return entries
}

// minimize makes those publications smaller that the server will never store
// as they are, and that can be made so.
func minimize(publications []*publication) (smaller []*publication) {
	for _, p := range publications {
		if p.minimal == nil || !isTooLarge(p.err) {
			continue
		}
		p.msg, p.minimal = p.minimal(), nil
		smaller = append(smaller, p)
	}
	return smaller
}

// isTooLarge reports whether a message was refused for its size, or that of its
// headers: by the client, by the server, or because of the stream's own limit.
func isTooLarge(err error) bool {
	const messageTooLarge, headersTooLarge = 10054, 10097 // nats-server's error codes
	if answered, ok := errors.AsType[*jetstream.APIError](err); ok {
		return answered.ErrorCode == messageTooLarge || answered.ErrorCode == headersTooLarge
	}
	return errors.Is(err, nats.ErrMaxPayload)
}

// errNoAcknowledgement says that JetStream has not answered in time.
var errNoAcknowledgement = errors.New("no acknowledgement from JetStream")

// isMissing reports whether nobody has listened to a message: there is no such
// stream, or its server is away.
func isMissing(err error) bool {
	return errors.Is(err, jetstream.ErrNoStreamResponse) || errors.Is(err, nats.ErrNoResponders)
}

// isSilence reports whether a message got no answer from its stream. Each takes
// its time.
func isSilence(err error) bool {
	_, denied := errors.AsType[*rights.DeniedError](err)
	return denied || isMissing(err) || errors.Is(err, errNoAcknowledgement) || errors.Is(err, jetstream.ErrAsyncPublishTimeout)
}
