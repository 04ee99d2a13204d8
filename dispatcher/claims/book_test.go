package claims_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/capi-dispatcher/capi-dispatcher/dedupe"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/claims"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/health"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var errAway = errors.New("nobody answers")

// store answers, or is away from now on or until a moment.
type store struct {
	book   *claims.Book
	t      *testing.T
	gate   *health.Gate
	logged *observer.ObservedLogs

	mu                  sync.Mutex
	back                time.Time // it is away until then
	checks              int
	confirmed, released []dedupe.Claim
}

func run(t *testing.T, test func(s *store)) {
	t.Helper()
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		core, logged := observer.New(zapcore.InfoLevel)
		s := &store{t: t, gate: health.NewUncheckedGate(), logged: logged}
		s.book = claims.NewBook(s, s.gate, zap.New(core))
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{}, 2)
		go func() { s.book.Watch(ctx); done <- struct{}{} }()
		go func() { s.book.ConfirmLater(ctx); done <- struct{}{} }()
		test(s)
		cancel()
		<-done
		<-done
	})
}

// leave makes the store go away for so long, and returns when it comes back.
func (s *store) leave(away time.Duration) time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.back = time.Now().Add(away)
	return s.back
}

// err waits, where the store is away: it does not even refuse.
func (s *store) err(ctx context.Context) error {
	s.mu.Lock()
	away := time.Now().Before(s.back)
	s.mu.Unlock()
	if !away {
		return nil
	}
	<-ctx.Done()
	return errAway
}

func (s *store) Claim(ctx context.Context, asked []dedupe.Claim) []dedupe.Result {
	results := make([]dedupe.Result, len(asked))
	for i := range results {
		results[i].State = dedupe.Fresh
	}
	if err := s.err(ctx); err != nil {
		results[len(asked)-1] = dedupe.Result{State: dedupe.Failed, Err: err}
	}
	return results
}

func (s *store) Confirm(ctx context.Context, asked []dedupe.Claim) ([]dedupe.Claim, error) {
	err := s.err(ctx)
	s.mu.Lock()
	defer s.mu.Unlock()
	if err != nil {
		s.confirmed = append(s.confirmed, asked[0]) // one got through
		return asked[1:], err
	}
	s.confirmed = append(s.confirmed, asked...)
	return nil, nil
}

func (s *store) Release(ctx context.Context, asked []dedupe.Claim) ([]dedupe.Claim, error) {
	if err := s.err(ctx); err != nil {
		return asked, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.released = append(s.released, asked...)
	return nil, nil
}

func (s *store) Check(ctx context.Context) error {
	s.mu.Lock()
	s.checks++
	s.mu.Unlock()
	return s.err(ctx)
}

func some(n int) (all []dedupe.Claim) {
	for i := range n {
		all = append(all, dedupe.Claim{Owner: dedupe.Owner(i + 1)})
	}
	return all
}

// The gate opens when the store has answered for the first time, shuts at a
// failure, and opens again. Each is said once.
func TestTheGate(t *testing.T) {
	run(t, func(s *store) {
		t := s.t
		require.False(t, s.gate.IsOpen())
		require.NoError(t, s.book.Await(t.Context()))
		back := s.leave(time.Minute)
		results := s.book.Claim(t.Context(), some(2), time.Second)
		require.Equal(t, dedupe.Failed, results[1].State)
		require.False(t, s.gate.IsOpen())
		require.Equal(t, errAway.Error(), s.gate.Condition("").Reason)
		s.book.Claim(t.Context(), some(2), time.Second)
		require.NoError(t, s.book.Await(t.Context()))
		require.WithinRange(t, time.Now(), back, back.Add(10*time.Second))
		synctest.Wait()
		require.Less(t, s.checks, 20, "ever more slowly")
		require.Len(t, s.logged.FilterLevelExact(zapcore.ErrorLevel).All(), 1)
		require.Len(t, s.logged.FilterMessage("Redis answers again").All(), 1)
	})
}

// An answer is waited for no longer than asked, and not cut off by a context that
// has ended.
func TestAnExchangeOutlivesItsContext(t *testing.T) {
	run(t, func(s *store) {
		t := s.t
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		s.book.Release(ended, some(1))
		require.Len(t, s.released, 1)
		s.book.Confirm(ended, some(1))
		require.Len(t, s.confirmed, 1)
		s.leave(time.Hour)
		began := time.Now()
		s.book.Claim(ended, some(1), 500*time.Millisecond)
		require.Equal(t, 500*time.Millisecond, time.Since(began))
	})
}

// Claims are given up when the store answers again; whoever may not wait says so.
func TestReleaseWaits(t *testing.T) {
	run(t, func(s *store) {
		t := s.t
		require.NoError(t, s.book.Await(t.Context()))
		s.leave(time.Minute)
		s.book.Release(t.Context(), some(3))
		require.Len(t, s.released, 3)
		s.leave(time.Hour)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		s.book.Release(ctx, some(3))
		require.Len(t, s.released, 3)
		require.Len(t, s.logged.FilterMessageSnippet("could not be released").All(), 1)
	})
}

// What cannot be confirmed in time is confirmed later, each event once.
func TestConfirmLater(t *testing.T) {
	run(t, func(s *store) {
		t := s.t
		require.NoError(t, s.book.Await(t.Context()))
		s.leave(10 * time.Minute)
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		s.book.Confirm(ctx, some(10))
		require.Equal(t, 9, s.book.Pending(), "one got through")
		require.ErrorIs(t, ctx.Err(), context.DeadlineExceeded)
		s.book.Flush(t.Context())
		require.Equal(t, 8, s.book.Pending())
		require.Len(t, s.logged.FilterMessageSnippet("could not be remembered").All(), 1)
		require.NoError(t, s.book.Await(t.Context()))
		synctest.Wait()
		require.Zero(t, s.book.Pending())
		require.Equal(t, some(10), s.confirmed)
	})
}
