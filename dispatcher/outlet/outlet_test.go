package outlet_test

import (
	"cmp"
	"context"
	"errors"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/health"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/outlet"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// stream answers as it is told, and counts what it is asked for.
type stream struct {
	*outlet.Outlet[string]

	t *testing.T

	find   func() error
	stop   func()
	beside sync.WaitGroup

	mu        sync.Mutex
	answer    func(msg *nats.Msg) error // errSilent: none
	published []string
	asked     int // questions
	pace      time.Duration
	free      time.Time // when it has stored all that it has got
	found     int
	gate      *health.Gate
	logged    *observer.ObservedLogs
}

var errSilent = errors.New("silent")

func run(t *testing.T, test func(s *stream)) {
	t.Helper()
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		core, logged := observer.New(zapcore.InfoLevel)
		s := &stream{t: t, gate: health.NewGate(), logged: logged}
		ctx, stop := context.WithCancel(t.Context())
		s.stop = stop
		s.answer, s.find = func(*nats.Msg) error { return nil }, func() error { return nil }
		s.Outlet = outlet.New[string](outlet.Config{
			JetStream: s, Log: zap.New(core), Gate: s.gate, Then: "it waits",
			Find:   func() error { s.found++; return s.find() },
			Beside: func(work func(context.Context)) { s.beside.Go(func() { work(ctx) }) },
		})
		test(s)
		s.stop()
		s.beside.Wait()
	})
}

// future is an answer that has come, or that never will.
type future struct {
	ok  chan *jetstream.PubAck
	err chan error
}

func (f *future) Ok() <-chan *jetstream.PubAck { return f.ok }
func (f *future) Err() <-chan error            { return f.err }
func (f *future) Msg() *nats.Msg               { return nil }

func (s *stream) setAnswer(answer func(msg *nats.Msg) error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answer = answer
}

// setPace makes it store one message after the other.
func (s *stream) setPace(pace time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pace, s.free = pace, time.Now()
}

// questions is how often it has been asked whether it answers.
func (s *stream) questions() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.asked
}

// PublishMsgAsync answers as it is told. A message with an option is for another
// stream.
func (s *stream) PublishMsgAsync(msg *nats.Msg, opts ...jetstream.PublishOpt) (jetstream.PubAckFuture, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f := &future{ok: make(chan *jetstream.PubAck, 1), err: make(chan error, 1)}
	err := s.answer(msg)
	if len(opts) > 0 {
		s.asked++
		err = cmp.Or[error](err, &jetstream.APIError{Code: 400, Description: "expected stream does not match"})
	} else {
		s.published = append(s.published, msg.Subject)
	}
	switch {
	case err == nil:
		if s.free.Before(time.Now()) {
			s.free = time.Now()
		}
		s.free = s.free.Add(s.pace)
		number := uint64(len(s.published))
		time.AfterFunc(time.Until(s.free), func() { f.ok <- &jetstream.PubAck{Sequence: number} })
	case errors.Is(err, nats.ErrMaxPayload):
		return nil, err // the client itself refuses
	case !errors.Is(err, errSilent):
		f.err <- err
	}
	return f, nil
}

// send publishes messages on these subjects, and returns those that were refused.
func (s *stream) send(subjects ...string) (refused []*outlet.Publication[string]) {
	var all []*outlet.Publication[string]
	for _, subject := range subjects {
		all = append(all, &outlet.Publication[string]{For: subject, Msg: nats.NewMsg(subject)})
	}
	stored, refused := s.Publish(all)
	for _, p := range stored {
		if p.Number == 0 || p.Err != nil {
			panic("stored, and not so")
		}
	}
	if len(stored)+len(refused) != len(all) {
		panic("some are neither")
	}
	return refused
}

// What is refused is handed back, each with its reason; its neighbours are stored.
func TestOneRefusalIsNobodyElses(t *testing.T) {
	run(t, func(s *stream) {
		t := s.t
		full := errors.New("maximum bytes exceeded")
		s.setAnswer(func(msg *nats.Msg) error {
			if msg.Subject == "b" {
				return full
			}
			return nil
		})
		refused := s.send("a", "b", "c")
		require.Len(t, refused, 1)
		require.Equal(t, "b", refused[0].For)
		require.Equal(t, full, refused[0].Err)
		require.Equal(t, "cannot publish to b: maximum bytes exceeded; it waits", s.gate.Condition("").Reason)
		s.send("b")
		require.Len(t, s.logged.All(), 1, "said once")
		require.Empty(t, s.send("a"))
		require.True(t, s.gate.IsOpen())
		require.Len(t, s.logged.FilterMessage("the stream takes events again").All(), 1)
	})
}

// More than may be under way at once are published part by part.
func TestManyAreStored(t *testing.T) {
	run(t, func(s *stream) {
		t := s.t
		var subjects []string
		for i := range 1000 {
			subjects = append(subjects, strconv.Itoa(i))
		}
		require.Empty(t, s.send(subjects...))
		require.Equal(t, subjects, s.published)
	})
}

// A slow server is not asked for more at once, by all together, than it answers in
// time: it would store what counts as unanswered.
func TestNoMoreIsUnderWayThanIsAnsweredInTime(t *testing.T) {
	run(t, func(s *stream) {
		s.setPace(10 * time.Millisecond)
		var senders sync.WaitGroup
		for range 8 {
			senders.Go(func() {
				if refused := s.send(make([]string, 300)...); len(refused) > 0 {
					s.t.Errorf("%d are refused: %v", len(refused), refused[0].Err)
				}
			})
		}
		senders.Wait()
		require.Len(s.t, s.published, 8*300)
	})
}

// What is too large is stored as small as it can be made.
func TestWhatIsTooLargeIsMadeSmaller(t *testing.T) {
	for name, tooLarge := range map[string]error{
		"for the client": nats.ErrMaxPayload,
		"for the server": &jetstream.APIError{ErrorCode: 10054},
		"in its headers": &jetstream.APIError{ErrorCode: 10097},
	} {
		t.Run(name, func(t *testing.T) {
			run(t, func(s *stream) {
				t := s.t
				s.setAnswer(func(msg *nats.Msg) error {
					if msg.Subject == "large" {
						return tooLarge
					}
					return nil
				})
				p := &outlet.Publication[string]{Msg: nats.NewMsg("large"), Minimal: func() *nats.Msg { return nats.NewMsg("small") }}
				stored, refused := s.Publish([]*outlet.Publication[string]{p})
				require.Empty(t, refused)
				require.Len(t, stored, 1)
				require.Equal(t, []string{"large", "small"}, s.published)
				require.Len(t, s.send("large"), 1, "it has no smaller form")
			})
		})
	}
}

// A missing stream is looked for once, and what it missed is published again.
func TestAMissingStreamIsLookedFor(t *testing.T) {
	run(t, func(s *stream) {
		t := s.t
		missing := true
		s.setAnswer(func(*nats.Msg) error {
			if missing {
				return jetstream.ErrNoStreamResponse
			}
			return nil
		})
		s.find = func() error { missing = false; return nil }
		require.Empty(t, s.send("a", "b"))
		require.Equal(t, 1, s.found)
		require.True(t, s.gate.IsOpen())

		missing, s.find = true, func() error { return errors.New("no such stream") }
		time.Sleep(time.Minute)
		refused := s.send("a", "b")
		require.Len(t, refused, 2)
		require.ErrorContains(t, refused[0].Err, "no such stream")
		require.Equal(t, 2, s.found)
		s.send("a")
		require.Equal(t, 2, s.found, "not so soon again")
		time.Sleep(3 * time.Second)
		s.send("a")
		synctest.Wait()
		require.Equal(t, 3, s.found)
	})
}

// A stream does not answer. Whoever publishes first finds out; nobody waits for it
// after that, until it answers again. It is asked one question at a time.
func TestNobodyWaitsForASilentStream(t *testing.T) {
	run(t, func(s *stream) {
		t := s.t
		s.setAnswer(func(*nats.Msg) error { return errSilent })
		began := time.Now()
		require.Len(t, s.send("a"), 1)
		require.Equal(t, outlet.Timeout, time.Since(began))
		for range 800 {
			time.Sleep(100 * time.Millisecond)
			now := time.Now()
			refused := s.send("a", "b")
			require.Len(t, refused, 2)
			require.ErrorContains(t, refused[1].Err, "no acknowledgement")
			require.Zero(t, time.Since(now))
		}
		require.InDelta(t, 80/(5+3), s.questions(), 1)
		s.setAnswer(func(*nats.Msg) error { return nil })
		for waited := time.Duration(0); len(s.send("c")) > 0; waited += time.Second {
			require.Less(t, waited, outlet.Timeout+6*time.Second)
			time.Sleep(time.Second)
		}
		require.True(t, s.gate.IsOpen())
		require.Empty(t, s.send("d"))
	})
}

// A worker that stops does not wait for an answer that nobody needs any more.
func TestAQuestionEndsWithTheWorker(t *testing.T) {
	run(t, func(s *stream) {
		s.setAnswer(func(*nats.Msg) error { return errSilent })
		s.send("a")
		time.Sleep(3 * time.Second)
		s.send("a")
		synctest.Wait()
		began := time.Now()
		s.stop()
		s.beside.Wait()
		require.Zero(s.t, time.Since(began))
	})
}

// A refusal is forgotten when what was refused has had the time to come back, and
// has not been refused again.
func TestARefusalIsForgotten(t *testing.T) {
	run(t, func(s *stream) {
		t := s.t
		s.setAnswer(func(*nats.Msg) error { return errors.New("full") })
		s.send("a")
		time.Sleep(time.Minute)
		s.send("a")
		s.Forget(time.Minute)
		require.False(t, s.gate.IsOpen())
		time.Sleep(time.Minute + 1)
		s.Forget(time.Minute)
		require.True(t, s.gate.IsOpen())
	})
}
