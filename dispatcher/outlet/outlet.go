// Package outlet stores messages in a stream that may refuse them: it may be full,
// missing, silent, or denied to us.
//
// A message is stored once the server has said so; each that is refused is
// handed back with the reason, and nothing is lost. After a stream has not
// answered, only a question every few seconds finds out whether it does again;
// meanwhile what is to be stored there is refused without waiting. One that is
// missing is looked for, by a function that may make it anew.
package outlet

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

	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/health"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/rights"
)

const (
	// publishAtOnce is how many messages may be under way to a stream without an
	// answer. More would only wait in the server, and for a slow one so long that
	// they count as unanswered, although it stores them.
	publishAtOnce = 256
	// Timeout is how long the answer to a publish may take; it is good for a Find, too.
	Timeout = 5 * time.Second
	// tryEvery is how often a stream is tried, or looked for, that does not answer.
	tryEvery = 3 * time.Second
)

// errLookedFor says that a stream was there a moment ago.
var errLookedFor = errors.New("it was there a moment ago")

// Publisher publishes messages: a [jetstream.JetStream].
type Publisher interface {
	PublishMsgAsync(msg *nats.Msg, opts ...jetstream.PublishOpt) (jetstream.PubAckFuture, error)
}

// Config is what an outlet works with.
type Config struct {
	JetStream Publisher
	Rights    *rights.Watch // what NATS denies to the connection; nil if unknown
	Log       *zap.Logger
	// Find looks for the stream, and makes it anew where the configuration says
	// so.
	Find func() error
	Gate *health.Gate // open while the stream takes what it is given
	Then string       // what becomes of what it refuses, for people
	// Beside does work in the background, until its context ends.
	Beside func(work func(ctx context.Context))
}

// Publication is a message on its way into a stream, on behalf of a T.
type Publication[T any] struct {
	For     T
	Msg     *nats.Msg
	Minimal func() *nats.Msg // what is stored instead where Msg does not fit, if anything
	Opts    []jetstream.PublishOpt

	Number uint64 // in the stream, once it is stored
	Err    error  // why it was refused

	future jetstream.PubAckFuture
}

// Outlet is a stream that takes messages, each for a T. It is safe for concurrent
// use.
type Outlet[T any] struct {
	Config

	room *semaphore.Weighted // for messages under way

	// search is held by the goroutine that looks for the stream; others wait.
	search  sync.Mutex
	looked  time.Time // when it was last looked for
	missing error     // why it was not found then

	mu     sync.Mutex
	failed time.Time // when it last refused something
	silent time.Time // until then nothing is published: the stream does not answer
	asking bool      // a question is under way
	last   error     // what it said, or did not say, last
}

// New returns an outlet. Nothing is known of its stream yet.
func New[T any](cfg Config) *Outlet[T] {
	return &Outlet[T]{Config: cfg, room: semaphore.NewWeighted(publishAtOnce)}
}

// Publish stores messages, and waits until the server has stored each, or has
// refused it: then its Err says why.
func (o *Outlet[T]) Publish(publications []*Publication[T]) (stored, refused []*Publication[T]) {
	o.publishAll(publications)
	o.publishAll(minimize(publications))
	for _, p := range publications {
		if p.Err == nil {
			stored = append(stored, p)
		} else {
			refused = append(refused, p)
		}
	}
	switch {
	case len(refused) > 0:
		o.refuses(refused[0])
	case len(stored) > 0 && o.Gate.Open():
		o.Log.Info("the stream takes events again")
	}
	return stored, refused
}

func (o *Outlet[T]) publishAll(publications []*Publication[T]) {
	for part := range slices.Chunk(publications, publishAtOnce) {
		o.publishPart(part)
	}
}

// publishPart publishes messages, unless the stream did not answer a moment
// ago.
func (o *Outlet[T]) publishPart(part []*Publication[T]) {
	size := int64(len(part))
	_ = o.room.Acquire(context.Background(), size) // cannot fail, and whatever has it gives it back within seconds
	defer o.room.Release(size)
	if err := o.silence(time.Now(), part[0].Msg.Subject); err != nil {
		for _, p := range part {
			p.Err = err
		}
		return
	}
	o.ask(context.Background(), part)
}

// ask publishes messages, and notes whether the stream answers. A stream that
// is missing is looked for.
func (o *Outlet[T]) ask(ctx context.Context, part []*Publication[T]) {
	asked := time.Now()
	o.attempt(ctx, part)
	if missing := failedFor(part, isMissing); len(missing) > 0 {
		if err := o.lookFor(asked); err == nil {
			o.attempt(ctx, missing)
		} else {
			missing[0].Err = fmt.Errorf("%w: %w", missing[0].Err, err)
		}
	}
	o.listen(part)
}

func (o *Outlet[T]) attempt(ctx context.Context, part []*Publication[T]) {
	asked := time.Now()
	for _, p := range part {
		p.future, p.Err = o.JetStream.PublishMsgAsync(p.Msg, p.Opts...)
	}
	for _, p := range part {
		if p.Err == nil {
			p.Err = p.await(ctx)
		}
		if p.Err != nil {
			p.Err = cmp.Or(o.Rights.Since(asked, p.Msg.Subject), p.Err)
		}
	}
}

func (p *Publication[T]) await(ctx context.Context) error {
	timer := time.NewTimer(Timeout)
	defer timer.Stop()
	select {
	case ack := <-p.future.Ok():
		p.Number = ack.Sequence
		return nil
	case err := <-p.future.Err():
		return err
	case <-timer.C:
		return errNoAcknowledgement
	case <-ctx.Done():
		return errNoAcknowledgement
	}
}

func failedFor[T any](part []*Publication[T], reason func(error) bool) (failed []*Publication[T]) {
	for _, p := range part {
		if p.Err != nil && reason(p.Err) {
			failed = append(failed, p)
		}
	}
	return failed
}

// lookFor looks for the stream, unless that was done after since or not long
// before. Without an error the stream is there.
func (o *Outlet[T]) lookFor(since time.Time) error {
	o.search.Lock()
	defer o.search.Unlock()
	switch {
	case o.looked.After(since):
	case time.Since(o.looked) < tryEvery:
		return cmp.Or(o.missing, errLookedFor)
	default:
		o.missing = o.Find()
		o.looked = time.Now()
	}
	return o.missing
}

// silence returns why it would be in vain to publish now. From time to time a
// question finds out whether it still is, in the background, because waiting
// for the answer would hold up a dataset's events.
func (o *Outlet[T]) silence(now time.Time, subject string) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.silent.IsZero() {
		return nil
	}
	if !now.Before(o.silent) && !o.asking {
		o.asking = true
		o.Beside(func(ctx context.Context) { o.inquire(ctx, subject) })
	}
	return o.last
}

// inquire publishes a message that a stream answers and does not store, because it
// is meant for another.
func (o *Outlet[T]) inquire(ctx context.Context, subject string) {
	const noStream = "-"
	expect := []jetstream.PublishOpt{jetstream.WithExpectStream(noStream)}
	question := &Publication[T]{Msg: nats.NewMsg(subject), Opts: expect}
	o.ask(ctx, []*Publication[T]{question})
	o.mu.Lock()
	defer o.mu.Unlock()
	o.asking = false
}

// listen notes whether the stream has answered at all.
func (o *Outlet[T]) listen(part []*Publication[T]) {
	unanswered := failedFor(part, isSilence)
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(unanswered) < len(part) {
		o.silent = time.Time{}
		return
	}
	o.silent, o.last = time.Now().Add(tryEvery), part[0].Err
}

// refuses says that something could not be stored. Nothing is lost by it.
func (o *Outlet[T]) refuses(p *Publication[T]) {
	o.mu.Lock()
	o.failed = time.Now()
	o.mu.Unlock()
	reason := "cannot publish to " + p.Msg.Subject + ": " + p.Err.Error()
	if o.Gate.Shut(reason + "; " + o.Then) {
		o.Log.Error("the stream does not take events; "+o.Then, zap.String("reason", reason))
	}
}

// Forget opens the gate again when nothing has been refused for back, the time
// after which all that was refused has come back: it did not need the stream
// any more.
func (o *Outlet[T]) Forget(back time.Duration) {
	o.mu.Lock()
	failed := o.failed
	o.mu.Unlock()
	if time.Since(failed) > back && !o.Gate.IsOpen() && o.Gate.Open() {
		o.Log.Info("nothing has had to go to the stream since it has refused something")
	}
}

// minimize makes those publications smaller that the server will never store
// as they are, and that can be made so.
func minimize[T any](publications []*Publication[T]) (smaller []*Publication[T]) {
	for _, p := range publications {
		if p.Minimal == nil || !isTooLarge(p.Err) {
			continue
		}
		p.Msg, p.Minimal = p.Minimal(), nil
		smaller = append(smaller, p)
	}
	return smaller
}
