package dispatcher

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/zap"
	"golang.org/x/sync/semaphore"

	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/rights"
)

const (
	// publishAtOnce is how many messages may be under way to a stream without an
	// answer. More would only wait in the server, and for a slow one so long that
	// they count as unanswered, although it stores them.
	publishAtOnce = 256
	// publishTimeout is how long the answer to a publish may take.
	publishTimeout = 5 * time.Second
	// tryEvery is how often a stream is tried, or looked for, that does not answer.
	tryEvery = 3 * time.Second
)

// errLookedFor says that a stream was there a moment ago.
var errLookedFor = errors.New("it was there a moment ago")

// outlet is a stream that events leave for when they do not leave for Meta.
type outlet struct {
	js     jetstream.JetStream
	beside func(work func(ctx context.Context)) // work that nobody waits for
	room   *semaphore.Weighted                  // for messages under way
	rights *rights.Watch
	log    *zap.Logger
	// find looks for the stream, and makes it anew where that is ours to do.
	find func() error
	gate *gate  // open while it takes what it is given
	then string // what becomes of what it refuses

	// search is held by whoever looks for the stream; others wait.
	search  sync.Mutex
	looked  time.Time // when somebody has
	missing error     // why it was not found then

	mu     sync.Mutex
	failed time.Time // when it last refused something
	silent time.Time // until then nobody tries, because it does not answer
	asking bool      // somebody finds out whether it does again
	last   error     // what it said, or did not say, last
}

func (d *Dispatcher) newOutlet(stream, then string) *outlet {
	streams := StreamSet{cfg: d.cfg.Streams, js: d.deps.JetStream, warn: func(text string) { d.log.Warn(text) }}
	find := func() error {
		ctx, cancel := context.WithTimeout(d.working, publishTimeout)
		defer cancel()
		return d.deps.Rights.Do(ctx, func(ctx context.Context) error {
			_, err := streams.open(ctx, stream)
			return err
		}, d.rightsToOpen(stream)...)
	}
	return &outlet{
		js: d.deps.JetStream, beside: d.beside, room: semaphore.NewWeighted(publishAtOnce), rights: d.deps.Rights,
		log: d.log.With(zap.String("stream", stream)), find: find, gate: newGate(), then: then,
	}
}

// forgetRefusals opens the gates again of streams that have taken, or needed, no
// more of what they had refused.
func (d *Dispatcher) forgetRefusals() {
	park, ackWait := d.cfg.Delivery.Park, d.cfg.Streams.AckWait
	d.letters.forget(min(park.Max, lettersDuplicates/2) + ackWait)
	d.parking.forget(2*park.Initial + ackWait)
}

// publish stores messages, and waits until the server has stored each, or has
// refused it: that is in its err.
func (o *outlet) publish(publications []*publication) (stored, refused []*publication) {
	o.publishAll(publications)
	o.publishAll(minimize(publications))
	for _, p := range publications {
		if p.err == nil {
			stored = append(stored, p)
		} else {
			refused = append(refused, p)
		}
	}
	switch {
	case len(refused) > 0:
		o.refuses(refused[0])
	case len(stored) > 0 && o.gate.open():
		o.log.Info("the stream takes events again")
	}
	return stored, refused
}

func (o *outlet) publishAll(publications []*publication) {
	for part := range slices.Chunk(publications, publishAtOnce) {
		o.publishPart(part)
	}
}

// publishPart publishes messages, unless a moment ago nobody has answered.
func (o *outlet) publishPart(part []*publication) {
	size := int64(len(part))
	_ = o.room.Acquire(context.Background(), size) // who has it, gives it back within seconds
	defer o.room.Release(size)
	if err := o.silence(time.Now(), part[0].msg.Subject); err != nil {
		for _, p := range part {
			p.err = err
		}
		return
	}
	o.ask(context.Background(), part)
}

// ask publishes messages, and notes whether anybody answers. A stream that is
// missing is looked for.
func (o *outlet) ask(ctx context.Context, part []*publication) {
	asked := time.Now()
	o.attempt(ctx, part)
	if missing := failedFor(part, isMissing); len(missing) > 0 {
		if err := o.lookFor(asked); err == nil {
			o.attempt(ctx, missing)
		} else {
			missing[0].err = fmt.Errorf("%w: %w", missing[0].err, err)
		}
	}
	o.listen(part)
}

func (o *outlet) attempt(ctx context.Context, part []*publication) {
	asked := time.Now()
	for _, p := range part {
		p.future, p.err = o.js.PublishMsgAsync(p.msg, p.opts...)
	}
	for _, p := range part {
		if p.err == nil {
			p.err = p.await(ctx)
		}
		if p.err != nil {
			p.err = cmp.Or(o.rights.Since(asked, p.msg.Subject), p.err)
		}
	}
}

func (p *publication) await(ctx context.Context) error {
	timer := time.NewTimer(publishTimeout)
	defer timer.Stop()
	select {
	case ack := <-p.future.Ok():
		p.number = ack.Sequence
		return nil
	case err := <-p.future.Err():
		return err
	case <-timer.C:
		return errNoAcknowledgement
	case <-ctx.Done():
		return errNoAcknowledgement
	}
}

func failedFor(part []*publication, reason func(error) bool) (failed []*publication) {
	for _, p := range part {
		if p.err != nil && reason(p.err) {
			failed = append(failed, p)
		}
	}
	return failed
}

// lookFor looks for the stream, unless somebody has since then, or not long
// before. Without an error it is there.
func (o *outlet) lookFor(since time.Time) error {
	o.search.Lock()
	defer o.search.Unlock()
	switch {
	case o.looked.After(since):
	case time.Since(o.looked) < tryEvery:
		return cmp.Or(o.missing, errLookedFor)
	default:
		o.missing = o.find()
		o.looked = time.Now()
	}
	return o.missing
}

// silence returns why it would be in vain to publish now. From time to time, a
// question finds out whether it still is. Nobody waits for the answer: that would
// hold up a dataset's events.
func (o *outlet) silence(now time.Time, subject string) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.silent.IsZero() {
		return nil
	}
	if now.After(o.silent) && !o.asking {
		o.asking = true
		o.beside(func(ctx context.Context) { o.inquire(ctx, subject) })
	}
	return o.last
}

// inquire publishes a message that a stream answers and does not store, because it
// is meant for another.
func (o *outlet) inquire(ctx context.Context, subject string) {
	o.ask(ctx, []*publication{{msg: nats.NewMsg(subject), opts: []jetstream.PublishOpt{jetstream.WithExpectStream("-")}}})
	o.mu.Lock()
	defer o.mu.Unlock()
	o.asking = false
}

// listen notes whether the stream has answered at all.
func (o *outlet) listen(part []*publication) {
	unanswered := failedFor(part, isSilence)
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(unanswered) < len(part) {
		o.silent = time.Time{}
		return
	}
	o.silent, o.last = time.Now().Add(tryEvery), part[0].err
}

// refuses says that something could not be stored. Nothing is lost by it.
func (o *outlet) refuses(p *publication) {
	o.mu.Lock()
	o.failed = time.Now()
	o.mu.Unlock()
	reason := "cannot publish to " + p.msg.Subject + ": " + p.err.Error()
	if o.gate.shut(reason + "; " + o.then) {
		o.log.Error("the stream does not take events; "+o.then, zap.String("reason", reason))
	}
}

// forget opens the gate again when what was refused has come back since, after
// so long at the latest, and needed it no more.
func (o *outlet) forget(back time.Duration) {
	o.mu.Lock()
	failed := o.failed
	o.mu.Unlock()
	if time.Since(failed) > back && !o.gate.isOpen() && o.gate.open() {
		o.log.Info("nothing has had to go to the stream since it has refused something")
	}
}
