package parked_test

import (
	"context"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/parked"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/serverclock"
)

// shelf is a parked stream in memory, and the path of what comes back, for tests
// in fake time.
type shelf struct {
	t      *testing.T
	logged *observer.ObservedLogs
	waker  *parked.Waker

	crowded, full, blocked atomic.Bool // the path
	reading                atomic.Int32
	reads, asks            atomic.Int32
	looks, offers          atomic.Int32  // at what was parked last; of a page
	slow                   time.Duration // a read

	mu      sync.Mutex
	waiting []parked.Waiting
	last    uint64
	gone    map[uint64]bool // woken by somebody else since they were read
	failing []error         // of reads, one after the other
	refused error           // of wakes
	woken   []string        // subjects, in order
	counted map[string]int
}

// short is how long events are parked here.
var short = waits(time.Minute, 15*time.Minute)

func newShelf(t *testing.T) *shelf {
	t.Helper()
	core, logged := observer.New(zapcore.InfoLevel)
	s := &shelf{t: t, logged: logged, gone: make(map[uint64]bool), counted: make(map[string]int)}
	s.waker = parked.NewWaker(parked.Config{
		Events: s, Path: s, Waits: short, Clock: serverclock.New(time.Now), Log: zap.New(core),
	})
	return s
}

// put parks an event, and returns its number.
func (s *shelf) put(to string, reason parked.Reason, due time.Duration, headers ...string) uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.last++
	msg := &nats.Msg{Header: nats.Header{
		"Capi-Reason":            {string(reason)},
		jetstream.ScheduleHeader: {"@at " + time.Now().Add(due).UTC().Format(time.RFC3339)},
		jetstream.TimeStampHeaer: {time.Now().UTC().Format(time.RFC3339Nano)},
	}}
	for _, name := range headers {
		msg.Header.Set(name, "x")
	}
	s.waiting = append(s.waiting, parked.Waiting{Subject: subjects.Wait(to, strconv.FormatUint(s.last, 10)), Sequence: s.last, Message: msg})
	return s.last
}

func (s *shelf) putMany(n int, to string, reason parked.Reason) {
	for range n {
		s.put(to, reason, time.Hour)
	}
}

// fail makes the next reads fail, but for those whose error is nil.
func (s *shelf) fail(errs ...error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.failing = errs
}

// refuse makes wakes fail from now on, or no more.
func (s *shelf) refuse(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refused = err
}

// wakeElsewhere has somebody else wake an event when it is to be woken here.
func (s *shelf) wakeElsewhere(number uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.gone[number] = true
}

func (s *shelf) Read(ctx context.Context, dataset string, from uint64, most int) (page []parked.Waiting, err error) {
	require.EqualValues(s.t, 1, s.reading.Add(1), "one page at a time is in memory")
	defer s.reading.Add(-1)
	time.Sleep(s.slow)
	s.reads.Add(1)
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.failing) > 0 {
		err, s.failing = s.failing[0], s.failing[1:]
		if err != nil {
			return nil, err
		}
	}
	for _, e := range s.waiting {
		if e.Sequence >= from && len(page) < most && (dataset == "" || strings.HasPrefix(e.Subject, subjects.Wait(dataset, ""))) {
			page = append(page, e)
		}
	}
	return page, ctx.Err()
}

func (s *shelf) Newest(_ context.Context, dataset string) (newest uint64, _ error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range s.waiting {
		if strings.HasPrefix(e.Subject, subjects.Wait(dataset, "")) {
			newest = e.Sequence
		}
	}
	return newest, nil
}

func (s *shelf) Last(context.Context) (uint64, error) {
	s.looks.Add(1)
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.waiting) == 0 {
		return 0, nil
	}
	return s.last, nil
}

// Wake takes events out, and gives them new numbers, as the real one does.
func (s *shelf) Wake(_ context.Context, to string, waiting []parked.Waiting, now, accepted time.Time) (woken int, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.refused != nil {
		return 0, s.refused
	}
	require.WithinDuration(s.t, time.Now(), now, 0)
	require.Equal(s.t, s.AcceptedAt(to), accepted)
	meant := make(map[uint64]bool)
	for _, e := range waiting {
		require.Contains(s.t, e.Subject, "."+to+".")
		meant[e.Sequence] = true
	}
	var left []parked.Waiting
	for _, e := range s.waiting {
		if !meant[e.Sequence] || s.gone[e.Sequence] {
			left = append(left, e)
			continue
		}
		s.last++
		s.woken = append(s.woken, e.Subject)
		woken++
	}
	s.waiting = left
	return woken, nil
}

func (s *shelf) Blocked(string) bool {
	s.asks.Add(1)
	return s.blocked.Load()
}

// AcceptedAt is another time for each dataset.
func (s *shelf) AcceptedAt(dataset string) time.Time { return time.Unix(int64(len(dataset)), 0) }

func (s *shelf) HasRoom() bool { return !s.crowded.Load() }

func (s *shelf) TakesMore(string) bool {
	s.offers.Add(1)
	return !s.full.Load()
}

func (s *shelf) Woken(dataset string, events int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.counted[dataset] += events
}

// requireWoken asks for the numbers of those that were woken, in order.
func (s *shelf) requireWoken(numbers ...uint64) {
	s.t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	got := []uint64{}
	for _, subject := range s.woken {
		number, err := strconv.ParseUint(subject[strings.LastIndex(subject, ".")+1:], 10, 64)
		require.NoError(s.t, err)
		got = append(got, number)
	}
	require.Equal(s.t, append([]uint64{}, numbers...), got)
}

func (s *shelf) count(dataset string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.counted[dataset]
}

// run lets the waker do what it is asked for until the test ends.
func (s *shelf) run() {
	ctx, cancel := context.WithCancel(s.t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.waker.Run(ctx)
	}()
	s.t.Cleanup(func() {
		cancel()
		<-done
	})
}
