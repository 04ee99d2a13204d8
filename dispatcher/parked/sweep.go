package parked

import (
	"context"
	"sync"
	"time"

	"go.uber.org/zap"
)

// Turn is asked for the turn to look for overdue events, which one worker at a
// time has. The worker that has it calls end afterwards.
type Turn func(ctx context.Context) (end func(), ours bool)

// Sweeper looks for events that are overdue, and wakes them. The server brings
// parked events back by itself, but for those whose time comes while its store is
// full: it marks their schedule as being carried out, cannot store the result, and
// does not look at them again until it is restarted (NATS 2.15.2).
type Sweeper struct {
	waker    *Waker
	subjects Subjects
	turn     Turn
	lasts    time.Duration // a turn

	mu      sync.Mutex
	next    time.Time // on our clock
	overdue int       // found at the last look, and not woken
}

// NewSweeper returns a sweeper of a waker's events. lasts is how long a turn
// lasts.
func NewSweeper(waker *Waker, subjects Subjects, turn Turn, lasts time.Duration) *Sweeper {
	return &Sweeper{waker: waker, subjects: subjects, turn: turn, lasts: lasts}
}

// Overdue returns how many events were overdue at the last look, and are still
// parked.
func (s *Sweeper) Overdue() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.overdue
}

// Sweep looks for overdue events if it is time to, unless another worker does.
func (s *Sweeper) Sweep(ctx context.Context) {
	if time.Now().Before(s.due()) {
		return
	}
	s.again(time.Now().Add(s.waker.waits.overdueAfter()))
	end, err := s.waker.beginReading(ctx)
	if err != nil {
		return
	}
	defer end()
	ctx, cancel := context.WithTimeout(ctx, s.lasts)
	defer cancel()
	over, ours := s.turn(ctx)
	if !ours {
		return
	}
	defer over()
	if err := s.sweepAll(ctx); err != nil && ctx.Err() == nil {
		s.waker.log.Warn("parked events could not be looked through for those that are overdue", zap.Error(err))
	}
}

// sweepAll goes through the parked events from the oldest on, and ends at the
// first that is younger than the longest delay: those after it are younger.
func (s *Sweeper) sweepAll(ctx context.Context) error {
	now := s.waker.clock.Now()
	l := look{Sweeper: s, now: now, next: now.Add(s.waker.waits.longest())}
	for from, ended := uint64(1), false; !ended; {
		page, err := s.waker.events.Read(ctx, "", from, Page)
		if err != nil {
			return err
		}
		if len(page) == 0 {
			break
		}
		ended = l.page(ctx, page)
		from = page[len(page)-1].Sequence + 1
	}
	s.conclude(&l)
	return nil
}

// conclude notes and says what a look has found.
func (s *Sweeper) conclude(l *look) {
	s.mu.Lock()
	s.overdue = l.overdue - l.woken
	s.mu.Unlock()
	if l.overdue == 0 {
		// Nothing can be overdue sooner.
		s.again(time.Now().Add(l.next.Sub(l.now)))
		return
	}
	s.waker.log.Warn("parked events were overdue, as after a time when NATS' store was full; they are called back",
		zap.Int("overdue", l.overdue), zap.Int("called_back", l.woken))
}

func (s *Sweeper) due() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.next
}

func (s *Sweeper) again(at time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.next = at
}

// look is one look through the parked events.
type look struct {
	*Sweeper

	now  time.Time // on the server's clock
	next time.Time // when something may be overdue that is not yet

	overdue, woken int
}

// page wakes what is overdue of a page. It ends the look where the rest of the
// stream is too young to be, or where events cannot be woken.
func (l *look) page(ctx context.Context, page []Waiting) (ended bool) {
	late := make(map[string][]Waiting) // by destination
	for _, e := range page {
		if young := e.StoredAt().Add(l.waker.waits.longest()); young.After(l.now) {
			l.next, ended = earlier(l.next, young), true
			break
		}
		due := e.DueAt().Add(l.waker.waits.overdueAfter())
		if due.After(l.now) {
			l.next = earlier(l.next, due)
			continue
		}
		l.overdue++
		to := l.subjects.destination(e.Subject)
		late[to] = append(late[to], e)
	}
	for to, events := range late {
		woken, err := l.waker.wake(ctx, to, events)
		l.woken += woken
		if err != nil {
			return true
		}
	}
	return ended
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}
