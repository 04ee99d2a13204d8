package lease_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/lease"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const ackWait = 12 * time.Second

// server is NATS: it counts signs of life, which reach it when they are flushed.
type server struct {
	stream

	t *testing.T
	*lease.Keeper

	signs   int
	flushes int
	takes   time.Duration // a flush
	err     error         // of flushes
}

func run(t *testing.T, test func(s *server)) {
	t.Helper()
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &server{t: t, stream: stream{current: true}}
		s.Keeper = lease.NewKeeper(s.flush, ackWait)
		test(s)
	})
}

func (s *server) InProgress() error { s.signs++; return nil }

func (s *server) flush(context.Context) error {
	time.Sleep(s.takes)
	s.flushes++
	return s.err
}

func (s *server) begin() *lease.Lease { return s.Begin(s, &s.stream, time.Now()) }

// stream is one that may have been made anew.
type stream struct {
	current, over bool
	asked         int
}

func (s *stream) Confirm(context.Context) bool { s.asked++; return s.current }
func (s *stream) Over() bool                   { return s.over }

func itself(l *lease.Lease) *lease.Lease { return l }

// pass lets time pass, and the keeper do what is to be done until then.
func pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// A lease that is kept never gets short, with few signs of life; one that has ended gets none.
func TestLeasesAreRenewed(t *testing.T) {
	run(t, func(s *server) {
		t := s.t
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { s.Run(ctx); close(done) }()
		l := s.begin()
		for range 120 {
			pass(ackWait / 12)
			require.False(t, l.Short(time.Now(), ackWait/2))
		}
		require.InDelta(t, 30, s.signs, 5, "about three in each ackWait")
		require.Equal(t, 1, s.Count())
		s.End(l)
		require.Zero(t, s.Count())
		signs := s.signs
		pass(ackWait)
		require.Equal(t, signs, s.signs)
		require.True(t, l.Lapsed(time.Now()))
		cancel()
		<-done
	})
}

// A lease counts from the moment at which the message was asked for.
func TestALeaseBeginsWhenItWasAskedFor(t *testing.T) {
	run(t, func(s *server) {
		t := s.t
		l := s.Begin(s, &s.stream, time.Now().Add(-ackWait/2))
		require.False(t, l.Short(time.Now(), ackWait/2))
		require.True(t, l.Short(time.Now(), ackWait/2+1))
		time.Sleep(ackWait/2 - 1)
		require.False(t, l.Lapsed(time.Now()))
		time.Sleep(time.Nanosecond)
		require.True(t, l.Lapsed(time.Now()))
	})
}

// What makes a renewal void, and what the server is told then.
func TestARenewalThatMayNotHaveArrivedIsNone(t *testing.T) {
	for name, tc := range map[string]struct {
		change func(s *server)
		signs  int
	}{
		"the flush fails":           {func(s *server) { s.err = errors.New("away") }, 1},
		"the stream is another":     {func(s *server) { s.current = false }, 0},
		"it lapses during the wait": {func(s *server) { s.takes = ackWait }, 1},
		"it has lapsed":             {func(*server) { time.Sleep(ackWait) }, 0},
	} {
		t.Run(name, func(t *testing.T) {
			run(t, func(s *server) {
				t := s.t
				l := s.begin()
				time.Sleep(ackWait / 2)
				tc.change(s)
				ours, lost := lease.Ensure(t.Context(), s.Keeper, []*lease.Lease{l}, itself, ackWait*3/4)
				require.Empty(t, ours)
				require.Equal(t, []*lease.Lease{l}, lost)
				require.Equal(t, tc.signs, s.signs)
			})
		})
	}
}

// A lease that is renewed counts from before the sign of life was sent.
func TestARenewedLeaseCountsFromTheQuestion(t *testing.T) {
	run(t, func(s *server) {
		t := s.t
		s.takes = time.Second
		l := s.begin()
		time.Sleep(ackWait / 2)
		ours, lost := lease.Ensure(t.Context(), s.Keeper, []*lease.Lease{l}, itself, ackWait*3/4)
		require.Empty(t, lost)
		require.Equal(t, []*lease.Lease{l}, ours)
		require.False(t, l.Short(time.Now(), ackWait-time.Second))
		require.True(t, l.Short(time.Now(), ackWait-time.Second+1))
	})
}

// Only short leases are renewed, each once, and each stream is asked once.
func TestEnsureAsksForWhatIsShort(t *testing.T) {
	run(t, func(s *server) {
		t := s.t
		old := s.begin()
		other := s.begin()
		gone := &stream{over: true}
		left := s.Begin(s, gone, time.Now())
		time.Sleep(ackWait * 3 / 4)
		young := s.begin()
		items := []*lease.Lease{young, old, old, left, other}
		ours, lost := lease.Ensure(t.Context(), s.Keeper, items, itself, ackWait/2)
		require.Empty(t, lost)
		require.Equal(t, items, ours, "nobody else gets one whose stream is gone")
		require.Equal(t, 2, s.signs)
		require.Equal(t, 1, s.asked)
		require.Equal(t, 1, s.flushes)
		require.Zero(t, gone.asked)
		_, _ = lease.Ensure(t.Context(), s.Keeper, items, itself, ackWait/2)
		require.Equal(t, 1, s.flushes, "nothing is short any more")
	})
}

// Order is kept where some are lost.
func TestEnsureSplits(t *testing.T) {
	run(t, func(s *server) {
		t := s.t
		s.current = false
		old := s.begin()
		time.Sleep(ackWait * 3 / 4)
		a, b := s.begin(), s.begin()
		ours, lost := lease.Ensure(t.Context(), s.Keeper, []*lease.Lease{a, old, b}, itself, ackWait/2)
		require.Equal(t, []*lease.Lease{a, b}, ours)
		require.Equal(t, []*lease.Lease{old}, lost)
	})
}
