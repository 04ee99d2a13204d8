package dispatcher

import (
	"context"
	"strings"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/capi-dispatcher/capi-dispatcher/dedupe"
)

// The server brings parked events back by itself, but for those whose time comes
// while its store is full: it marks their schedule as being carried out, cannot
// store the result, and does not look at them again until it is restarted (NATS
// 2.15.2). So somebody looks for events that are overdue, and calls them back.

// sweeper knows what is overdue, and when to look again.
type sweeper struct {
	mu      sync.Mutex
	next    time.Time // on our clock
	overdue int       // found at the last look, and not called back
}

// overdueAfter is how late, on the server's clock, an event has to be before it
// counts as overdue. The server is a second late as a rule, and later when many
// are due at once.
func (d *Dispatcher) overdueAfter() time.Duration {
	return min(time.Minute, max(5*time.Second, d.cfg.Delivery.Park.Initial))
}

// longestDelay is how long events are parked, but for those that have to wait
// for a time of their own.
func (d *Dispatcher) longestDelay() time.Duration {
	return d.cfg.Delivery.Park.Max*9/8 + d.overdueAfter()
}

// sweep looks for overdue events if it is time to, unless another worker does.
func (d *Dispatcher) sweep(ctx context.Context) {
	if time.Now().Before(d.sweeper.due()) {
		return
	}
	d.sweeper.again(time.Now().Add(d.overdueAfter()))
	ctx, cancel := context.WithTimeout(ctx, d.cfg.Streams.ClaimLease())
	defer cancel()
	turn := dedupe.Claim{
		Key:   dedupe.NewKey(d.cfg.Streams.Consumer, "sweep", d.cfg.Streams.ParkedStream),
		Owner: dedupe.NewOwner(1, 1), Holder: dedupe.NewHolder(),
	}
	if state := d.deps.Claims.Claim(ctx, []dedupe.Claim{turn})[0].State; state == dedupe.Held || state == dedupe.Failed {
		return
	}
	defer func() { _, _ = d.deps.Claims.Release(context.WithoutCancel(ctx), []dedupe.Claim{turn}) }()
	if err := d.sweepAll(ctx); err != nil && ctx.Err() == nil {
		d.log.Warn("parked events could not be looked through for those that are overdue", zap.Error(err))
	}
}

// sweepAll goes through the parked events from the oldest on, and ends at the
// first that is younger than the longest delay: those after it are younger.
func (d *Dispatcher) sweepAll(ctx context.Context) error {
	s := sweepRun{d: d, now: d.clock.Now(), next: d.clock.Now().Add(d.longestDelay())}
	for from, ended := uint64(1), false; !ended; {
		waiters, err := d.readWaiting(ctx, "", from, recallPage)
		if err != nil {
			return err
		}
		if len(waiters) == 0 {
			break
		}
		if ended, err = s.page(ctx, waiters); err != nil {
			break
		}
		from = waiters[len(waiters)-1].sequence + 1
	}
	d.sweeper.found(s.overdue - s.freed)
	if s.overdue == 0 {
		// Nothing can be overdue sooner.
		d.sweeper.again(time.Now().Add(s.next.Sub(s.now)))
		return nil
	}
	d.log.Warn("parked events were overdue, as after a time when NATS' store was full; they are called back",
		zap.Int("overdue", s.overdue), zap.Int("called_back", s.freed))
	return nil
}

// sweepRun is one look through the parked events.
type sweepRun struct {
	d    *Dispatcher
	now  time.Time // on the server's clock
	next time.Time // when something may be overdue that is not yet

	overdue, freed int
}

// page calls back what is overdue of a page, and reports whether the rest of the
// stream is too young to be.
func (s *sweepRun) page(ctx context.Context, waiters []waiter) (ended bool, err error) {
	late := make(map[string][]waiter) // by destination
	for _, w := range waiters {
		if young := w.storedAt().Add(s.d.longestDelay()); young.After(s.now) {
			s.next, ended = earlier(s.next, young), true
			break
		}
		due := w.dueAt().Add(s.d.overdueAfter())
		if due.After(s.now) {
			s.next = earlier(s.next, due)
			continue
		}
		s.overdue++
		to := s.d.destinationOf(w.subject)
		late[to] = append(late[to], w)
	}
	for dataset, waiters := range late {
		freed, err := s.d.hastenThese(ctx, dataset, waiters)
		s.freed += freed
		if err != nil {
			return true, err
		}
	}
	return ended, nil
}

// destinationOf is the dataset, or auto, that an event on this subject waits
// for.
func (d *Dispatcher) destinationOf(subject string) string {
	destination, _, _ := strings.Cut(strings.TrimPrefix(subject, d.waitRoot()), ".")
	return destination
}

func (s *sweeper) due() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.next
}

func (s *sweeper) again(at time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.next = at
}

func (s *sweeper) found(overdue int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.overdue = overdue
}

// left is how many events were overdue at the last look, and are still parked.
func (s *sweeper) left() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.overdue
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}
