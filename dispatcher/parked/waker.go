package parked

import (
	"context"
	"time"

	"go.uber.org/zap"

	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/serverclock"
)

// Page is how many events are woken at once.
const Page = 1000

// Events are the events that wait: a [Stream].
type Events interface {
	Read(ctx context.Context, dataset string, from uint64, most int) ([]Waiting, error)
	Newest(ctx context.Context, dataset string) (uint64, error)
	Last(ctx context.Context) (uint64, error) // 0 if none waits
	Wake(ctx context.Context, to string, waiting []Waiting, now, accepted time.Time) (woken int, err error)
}

// Path is the way of the events that come back, as far as it matters here.
type Path interface {
	// Blocked reports whether a dataset's events may not be sent now.
	Blocked(dataset string) bool
	// AcceptedAt returns when Meta last accepted an event of a dataset, as far as
	// this worker knows.
	AcceptedAt(dataset string) time.Time
	// HasRoom reports whether another [Page] of anybody's events may come.
	HasRoom() bool
	// TakesMore reports whether another one of a dataset's events may come.
	TakesMore(dataset string) bool
	// Woken is called with how many of a dataset's events have been woken.
	Woken(dataset string, events int)
}

// Config is what a [Waker] works with.
type Config struct {
	Events Events
	Path   Path
	Waits  Waits
	Clock  *serverclock.Clock
	Log    *zap.Logger
}

// Waker makes parked events come back before their time. Create it with
// [NewWaker].
type Waker struct {
	events   Events
	path     Path
	waits    Waits
	clock    *serverclock.Clock
	log      *zap.Logger
	requests *requests

	// reading is full while a page of events is in memory: there is one at the
	// most, for all datasets together.
	reading chan struct{}

	looked struct { // at the stream, by [Waker.Run]
		at   time.Time
		last uint64
	}
}

// NewWaker returns a waker. What it is asked for begins with [Waker.Run].
func NewWaker(cfg Config) *Waker {
	return &Waker{
		events: cfg.Events, path: cfg.Path, waits: cfg.Waits, clock: cfg.Clock, log: cfg.Log,
		requests: newRequests(), reading: make(chan struct{}, 1),
	}
}

// Wake asks for a group of events to come back, as fast as the path takes them.
// It does not wait for that.
func (w *Waker) Wake(group Group) { w.requests.add(group) }

// EverAsked reports whether a group has ever been asked for.
func (w *Waker) EverAsked(group Group) bool {
	_, ever := w.requests.lastAsked(group)
	return ever
}

// AskedLately reports whether a group was asked for in the last ten seconds:
// its events need not be woken again because one of them got through.
func (w *Waker) AskedLately(group Group) bool {
	at, ever := w.requests.lastAsked(group)
	return ever && time.Since(at) <= lately
}

// beginReading waits until no other page of events is in memory.
func (w *Waker) beginReading(ctx context.Context) (end func(), err error) {
	select {
	case w.reading <- struct{}{}:
		return func() { <-w.reading }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// wakeMeant wakes those of some events that belong to a group and are not newer
// than the last, and returns how many there were.
func (w *Waker) wakeMeant(ctx context.Context, group Group, last uint64, read []Waiting) (woken int, err error) {
	now := w.clock.Now()
	var meant []Waiting
	for _, e := range read {
		if e.Sequence <= last && group.Covers(e.Reason()) && !w.comesBackByItself(&e, now) {
			meant = append(meant, e)
		}
	}
	return w.wake(ctx, group.Dataset, meant)
}

// comesBackByItself reports whether the server is about to bring an event back. If
// it should have done so a while ago, it will not: see [Sweeper].
func (w *Waker) comesBackByItself(e *Waiting, now time.Time) bool {
	due := e.DueAt()
	return due.Before(now.Add(time.Second)) && due.After(now.Add(-w.waits.overdueAfter()))
}

// wake wakes events, and counts how many did come.
func (w *Waker) wake(ctx context.Context, to string, meant []Waiting) (woken int, err error) {
	woken, err = w.events.Wake(ctx, to, meant, w.clock.Now(), w.path.AcceptedAt(to))
	if err != nil {
		return woken, err
	}
	w.path.Woken(to, woken)
	return woken, nil
}
