package dispatcher

import (
	"cmp"
	"errors"
	"slices"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/zap"
)

// publication is a message on its way into a stream, on behalf of entries.
type publication struct {
	entries []*entry
	msg     *nats.Msg
	minimal func() *nats.Msg // what is stored instead where msg does not fit, if anything
	opts    []jetstream.PublishOpt
	future  jetstream.PubAckFuture
	err     error
}

// publishAtOnce is how many messages may be under way without an answer. It is
// well below the limit at which the client would stall.
const publishAtOnce = 256

// publishTimeout is how long the answer to a publish may take.
const publishTimeout = 5 * time.Second

// move publishes events to another stream and settles them. The claim is given
// up once the event is safe there: a parked event, being another message, may
// then be sent when it comes back, and a corrected copy of a dead one may pass.
// The claim of a dead letter that may have been sent stays, or the next copy
// would be sent as if nothing had happened; replaying the letter passes it on.
// An event that could not be published stays where it is.
func (d *Dispatcher) move(publications []*publication, o outcome) {
	d.publishAll(publications)
	d.publishAll(minimize(publications))
	stored, failed := d.outcomes(publications)
	if o == deadLettered {
		d.releaseUnsent(stored)
	} else {
		d.release(stored)
	}
	d.settleAll(stored, o)
	d.releaseUnsent(failed)
	d.returnLater(failed, d.cfg.Delivery.Park.delay(0))
}

// publishAll publishes messages and waits until the server has stored each, or
// has refused it: that is in its err.
func (d *Dispatcher) publishAll(publications []*publication) {
	for part := range slices.Chunk(publications, publishAtOnce) {
		asked := time.Now()
		for _, p := range part {
			p.future, p.err = d.deps.JetStream.PublishMsgAsync(p.msg, p.opts...)
		}
		for _, p := range part {
			if p.err == nil {
				p.err = p.await()
			}
			if p.err != nil {
				p.err = cmp.Or(d.deps.Rights.Since(asked, p.msg.Subject), p.err)
			}
		}
	}
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

// outcomes returns the entries whose message is stored, and those whose is not.
func (d *Dispatcher) outcomes(publications []*publication) (stored, failed []*entry) {
	for _, p := range publications {
		if p.err != nil {
			d.exitFailed(p.msg.Subject, p.err)
			failed = append(failed, p.entries...)
			continue
		}
		stored = append(stored, p.entries...)
	}
	if len(failed) == 0 && len(stored) > 0 && d.health.exits.open() {
		d.log.Info("events can be parked and dead-lettered again")
	}
	return stored, failed
}

func (p *publication) await() error {
	timer := time.NewTimer(publishTimeout)
	defer timer.Stop()
	select {
	case <-p.future.Ok():
		return nil
	case err := <-p.future.Err():
		return err
	case <-timer.C:
		return errors.New("no acknowledgement from JetStream")
	}
}

// exitFailed says that an event could not be parked or dead-lettered. Nothing
// is lost by it: the event stays where it is.
func (d *Dispatcher) exitFailed(subject string, err error) {
	d.exitFailedAt.Store(time.Now().UnixNano())
	reason := "cannot publish to " + subject + ": " + err.Error()
	if d.health.exits.shut(reason) {
		d.log.Error("events can be neither parked nor dead-lettered; they stay in their stream", zap.String("reason", reason))
	}
}

// forgetExitFailure opens the gate again when what could not be published has
// come back since, and needed it no more.
func (d *Dispatcher) forgetExitFailure() {
	back := 2*d.cfg.Delivery.Park.Initial + d.cfg.Streams.AckWait
	if failed := time.Unix(0, d.exitFailedAt.Load()); time.Since(failed) > back && d.health.exits.open() {
		d.log.Info("no event has had to be parked or dead-lettered since that failed")
	}
}
