package dispatcher

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/zap"
)

// recalls are the datasets whose parked events are to come back before their
// time, because the dataset has recovered. docs/delivery.md says why it is safe.
type recalls struct {
	added chan struct{}

	mu     sync.Mutex
	wanted map[recall]struct{}
	begun  map[recall]time.Time // when each was last begun
}

// recall is what comes back.
type recall struct {
	dataset string
	// unlinked: the events of accounts that were not linked, else those that
	// waited for the dataset.
	unlinked bool
}

// covers tells whether an event that was parked for this reason is meant. What
// waits for its own time goes on waiting.
func (r recall) covers(reason string) bool {
	switch reason {
	case parkedPaused, parkedThrottled, parkedRetry, parkedUnknown, parkedCongested, parkedRefused:
		return !r.unlinked
	case parkedUnlinked:
		return r.unlinked
	default:
		return false
	}
}

const (
	// recallPage is how many events come back at once.
	recallPage = 1000
	// recallEvery is how long after one page of a dataset somebody looks whether
	// the next may come.
	recallEvery = 50 * time.Millisecond
	// recallLate is how long after the last page somebody looks for events that
	// were on their way to be parked when the dataset recovered.
	recallLate = 5 * time.Second
	// recallTries is how often a page is tried that cannot be called back.
	recallTries = 5
	// recallAgain is how long it takes until events are called back again
	// because one of them got through: another worker may have parked more.
	recallAgain = 10 * time.Second
	// maxBegun is how many recalls are remembered: anybody can name datasets.
	maxBegun = 10_000
	// lookEvery is how often somebody looks for datasets to try again.
	lookEvery = time.Second
)

func newRecalls() *recalls {
	return &recalls{added: make(chan struct{}, 1), wanted: make(map[recall]struct{}), begun: make(map[recall]time.Time)}
}

// want asks for a recall.
func (r *recalls) want(what recall) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.begun) >= maxBegun {
		clear(r.begun)
	}
	r.begun[what] = time.Now()
	r.wanted[what] = struct{}{}
	select {
	case r.added <- struct{}{}:
	default:
	}
}

// overdue tells that nobody has asked for a recall of late; or ever, where that
// is enough.
func (r *recalls) overdue(what recall, everIsEnough bool) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	begun, ever := r.begun[what]
	if !ever {
		return true
	}
	return !everIsEnough && time.Since(begun) > recallAgain
}

func (r *recalls) takeAll() []recall {
	r.mu.Lock()
	defer r.mu.Unlock()
	var all []recall
	for what := range r.wanted {
		all = append(all, what)
	}
	clear(r.wanted)
	return all
}

// recovered calls back what waits for a dataset once its events are accepted:
// when that ends a trouble of the dataset's; when the accepted event was parked
// itself, maybe by another worker; and at the dataset's first success, for a
// worker that has just begun knows of no troubles.
func (s *shipment) recovered(entries []*entry) {
	for _, dataset := range s.breaker.RecordSuccess(s.lane.dataset, s.token, s.posted) {
		s.log.Info("the dataset's events are sent again", zap.String("dataset", dataset))
		s.recalls.want(recall{dataset: dataset})
	}
	whole, unlinked := recall{dataset: s.lane.dataset}, recall{dataset: s.lane.dataset, unlinked: true}
	if s.recalls.overdue(whole, !anyParkedFor(entries, whole)) {
		s.recalls.want(whole)
	}
	if s.linked(entries) || anyParkedFor(entries, unlinked) && s.recalls.overdue(unlinked, false) {
		s.recalls.want(unlinked)
	}
}

func anyParkedFor(entries []*entry, what recall) bool {
	for _, e := range entries {
		if what.covers(e.history.parkedFor) {
			return true
		}
	}
	return false
}

// recallRun is a recall under way.
type recallRun struct {
	recall

	from, last uint64 // sequence numbers: where to go on, and where to end
	next       time.Time
	failures   int  // in a row
	latecomers bool // it looks for those only
}

// callBack does what recalls ask for, a page of each at a time, and looks for
// datasets to try again, until ctx ends. One goroutine does it all: recalls wait for each
// other, and not for memory.
func (d *Dispatcher) callBack(ctx context.Context) {
	look := time.NewTicker(lookEvery)
	defer look.Stop()
	runs := make(map[recall]*recallRun)
	for {
		pages := time.NewTimer(untilNextPage(runs))
		select {
		case <-pages.C:
			d.nextPages(ctx, runs)
		case <-d.recalls.added:
			for _, what := range d.recalls.takeAll() {
				runs[what] = &recallRun{recall: what}
			}
		case <-look.C:
			d.tryAgain(ctx)
			d.sweep(ctx)
			d.forgetRefusals()
			d.tellDeaths(d.deaths.Due())
		case <-ctx.Done():
			pages.Stop()
			return
		}
		pages.Stop()
	}
}

func untilNextPage(runs map[recall]*recallRun) time.Duration {
	wait := time.Hour
	for _, run := range runs {
		wait = min(wait, max(0, time.Until(run.next)))
	}
	return wait
}

// nextPages lets a page of each recall come back whose turn it is.
func (d *Dispatcher) nextPages(ctx context.Context, runs map[recall]*recallRun) {
	for what, run := range runs {
		if time.Now().Before(run.next) {
			continue
		}
		if !d.takesMore(what.dataset) {
			run.next = time.Now().Add(recallEvery)
			continue
		}
		switch done, err := d.nextPage(ctx, run); {
		case err != nil && run.triesAgain(err):
			run.next = time.Now().Add(recallLate)
		case err != nil:
			d.log.Warn("parked events could not be called back; they come back at their own time",
				zap.String("dataset", what.dataset), zap.Error(err))
			delete(runs, what)
		case done && run.latecomers:
			delete(runs, what)
		case done:
			*run = recallRun{recall: what, latecomers: true, next: time.Now().Add(recallLate)}
		default:
			run.next, run.failures = time.Now().Add(recallEvery), 0
		}
	}
}

// takesMore reports whether more events of a dataset may be called back: there is
// room for them, and what has been called back before is no more than the
// dataset's senders will soon have carried away.
func (d *Dispatcher) takesMore(dataset string) bool {
	most := max(recallPage, min(d.cfg.Delivery.MaxInHand/4, 4*recallPage))
	due := int(d.backlog.parked.Load())
	return !d.budget.Short() && due <= recallPage && d.load.Of(dataset)+due <= most
}

// triesAgain notes a failure, and tells whether the page is worth another try.
func (r *recallRun) triesAgain(err error) bool {
	r.failures++
	return r.failures < recallTries && !errors.Is(err, errNoDirectGet)
}

// nextPage lets a page of events come back, unless the dataset is in trouble
// again. It tells whether that was all.
func (d *Dispatcher) nextPage(ctx context.Context, run *recallRun) (done bool, err error) {
	if !d.breaker.TurnAway(run.dataset, nil).IsZero() {
		return true, nil
	}
	ctx, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	if run.last == 0 {
		// What is parked from now on is left alone: there is a reason for it.
		if run.last, err = d.lastParked(ctx); err != nil {
			return false, err
		}
	}
	for recalled := 0; recalled == 0; { // a page without any of those meant is passed over
		waiters, err := d.readWaiting(ctx, run.dataset, run.from, recallPage)
		if err != nil || len(waiters) == 0 {
			return true, err
		}
		if recalled, err = d.hastenAll(ctx, run.recall, run.last, waiters); err != nil {
			return false, err
		}
		if run.from = waiters[len(waiters)-1].sequence + 1; run.from > run.last {
			return true, nil
		}
	}
	return false, nil
}

func (d *Dispatcher) lastParked(ctx context.Context) (uint64, error) {
	stream, err := d.deps.JetStream.Stream(ctx, d.cfg.Streams.ParkedStream)
	if err != nil {
		return 0, err
	}
	return stream.CachedInfo().State.LastSeq, nil
}

// hastenAll makes events come back that are meant, and tells how many there
// were. One that is not there any more has come back by itself meanwhile.
func (d *Dispatcher) hastenAll(ctx context.Context, what recall, last uint64, waiters []waiter) (recalled int, err error) {
	now := d.clock.Now()
	meant := slices.DeleteFunc(waiters, func(w waiter) bool {
		return w.sequence > last || !what.covers(w.reason()) || d.comesBackByItself(&w, now)
	})
	return d.hastenThese(ctx, what.dataset, meant)
}

// comesBackByItself reports whether the server is about to bring a parked event
// back. If it should have done so a while ago, it will not: see sweep.go.
func (d *Dispatcher) comesBackByItself(w *waiter, now time.Time) bool {
	due := w.dueAt()
	return due.Before(now.Add(time.Second)) && due.After(now.Add(-d.overdueAfter()))
}

// hastenThese makes events of a dataset come back, and returns how many did.
func (d *Dispatcher) hastenThese(ctx context.Context, dataset string, waiters []waiter) (recalled int, err error) {
	now := d.clock.Now()
	var futures []jetstream.PubAckFuture
	for i := range waiters {
		future, err := d.hasten(&waiters[i], dataset, now)
		if err != nil {
			return recalled, err
		}
		futures = append(futures, future)
	}
	for _, future := range futures {
		select {
		case <-future.Ok():
			recalled++
		case err := <-future.Err():
			if !isWrongSequence(err) {
				return recalled, err
			}
		case <-ctx.Done():
			return recalled, ctx.Err()
		}
	}
	d.meters.calledBack(dataset, recalled)
	return recalled, nil
}

func isWrongSequence(err error) bool {
	var answered *jetstream.APIError
	return errors.As(err, &answered) && answered.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequence
}

// tryAgain calls one event back of each dataset that is to be tried.
func (d *Dispatcher) tryAgain(ctx context.Context) {
	try, freed := d.breaker.TakeProbes()
	for _, dataset := range freed {
		d.recalls.want(recall{dataset: dataset})
	}
	for _, dataset := range try {
		d.log.Debug("an event is called back to try the dataset again", zap.String("dataset", dataset))
		call := d.callOneBack
		if d.doubts.Exist(dataset) {
			call = d.callFewBack
		}
		if err := call(ctx, recall{dataset: dataset}); err != nil && ctx.Err() == nil {
			d.log.Warn("no parked event could be called back for a trial; it comes back at its own time",
				zap.String("dataset", dataset), zap.Error(err))
		}
	}
}

// callOneBack lets the first of the events meant come back.
func (d *Dispatcher) callOneBack(ctx context.Context, what recall) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	for from := uint64(1); ; {
		const few = 10
		waiters, err := d.readWaiting(ctx, what.dataset, from, few)
		if err != nil || len(waiters) == 0 {
			return err
		}
		for _, w := range waiters {
			recalled, err := d.hastenAll(ctx, what, w.sequence, []waiter{w})
			if err != nil || recalled > 0 {
				return err
			}
		}
		from = waiters[len(waiters)-1].sequence + 1
	}
}
