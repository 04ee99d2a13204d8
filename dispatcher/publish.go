package dispatcher

import (
	"context"

	"go.uber.org/zap"

	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/health"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/outlet"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/streams"
)

// publication is a message that leaves for a stream, on behalf of entries.
type publication = outlet.Publication[leaving]

// leaving is who a publication is for.
type leaving struct {
	entries []*entry
	letter  *undelivered // that the message carries, if it does
}

func (d *Dispatcher) newOutlet(stream, then string) *outlet.Outlet[leaving] {
	set := d.streamSet()
	find := func() error {
		ctx, cancel := context.WithTimeout(d.working, outlet.Timeout)
		defer cancel()
		return d.deps.Rights.Do(ctx, func(ctx context.Context) error {
			_, err := set.Open(ctx, stream)
			return err
		}, d.rightsToOpen(stream)...)
	}
	return outlet.New[leaving](outlet.Config{
		JetStream: d.deps.JetStream, Rights: d.deps.Rights, Log: d.log.With(zap.String("stream", stream)),
		Find: find, Gate: health.NewGate(), Then: then, Beside: d.beside,
	})
}

// forgetRefusals opens the gates again of streams that have taken, or needed, no
// more of what they had refused.
func (d *Dispatcher) forgetRefusals() {
	park, ackWait := d.cfg.Delivery.Park, d.cfg.Streams.AckWait
	d.letters.Forget(min(park.Max, streams.LettersDuplicates/2) + ackWait)
	d.parking.Forget(2*park.Initial + ackWait)
}

// move publishes events to the parked stream and settles them. The claim is
// given up once the event is safe there: being another message, it may then be
// sent when it comes back.
func (d *Dispatcher) move(publications []*publication) {
	stored, refused := d.parking.Publish(publications)
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
		entries = append(entries, p.For.entries...)
	}
	return entries
}
