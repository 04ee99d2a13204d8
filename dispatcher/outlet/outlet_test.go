package outlet_test

import (
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

	answer func(msg *nats.Msg) error // errSilent: none
	find   func() error

	mu        sync.Mutex
	published []string
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
		s.answer, s.find = func(*nats.Msg) error { return nil }, func() error { return nil }
		s.Outlet = outlet.New[string](outlet.Config{
			JetStream: s, Log: zap.New(core), Gate: s.gate, Then: "it waits",
			Find: func() error { s.found++; return s.find() },
		})
		test(s)
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

func (s *stream) PublishMsgAsync(msg *nats.Msg, _ ...jetstream.PublishOpt) (jetstream.PubAckFuture, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.published = append(s.published, msg.Subject)
	f := &future{ok: make(chan *jetstream.PubAck, 1), err: make(chan error, 1)}
	switch err := s.answer(msg); {
	case err == nil:
		f.ok <- &jetstream.PubAck{Sequence: uint64(len(s.published))}
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
		s.answer = func(msg *nats.Msg) error {
			if msg.Subject == "b" {
				return full
			}
			return nil
		}
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
				s.answer = func(msg *nats.Msg) error {
					if msg.Subject == "large" {
						return tooLarge
					}
					return nil
				}
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
		s.answer = func(*nats.Msg) error {
			if missing {
				return jetstream.ErrNoStreamResponse
			}
			return nil
		}
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
		require.Equal(t, 3, s.found)
	})
}

// While a stream does not answer, nobody waits for it: one batch finds out, every
// three seconds.
func TestNobodyWaitsForASilentStream(t *testing.T) {
	run(t, func(s *stream) {
		t := s.t
		s.answer = func(*nats.Msg) error { return errSilent }
		began := time.Now()
		require.Len(t, s.send("a"), 1)
		require.Equal(t, outlet.Timeout, time.Since(began))
		for range 100 {
			refused := s.send("a", "b")
			require.Len(t, refused, 2)
			require.ErrorContains(t, refused[1].Err, "no acknowledgement")
		}
		require.Equal(t, outlet.Timeout, time.Since(began))
		require.Equal(t, []string{"a"}, s.published)

		time.Sleep(3 * time.Second)
		var one sync.WaitGroup
		one.Go(func() { s.send("c") })
		synctest.Wait()
		require.Len(t, s.send("d"), 1, "one is under way")
		one.Wait()
		require.Equal(t, []string{"a", "c"}, s.published)

		s.answer = func(*nats.Msg) error { return nil }
		time.Sleep(3 * time.Second)
		require.Empty(t, s.send("e"))
		require.Empty(t, s.send("f"))
	})
}

// A refusal is forgotten when what was refused has had the time to come back, and
// has not been refused again.
func TestARefusalIsForgotten(t *testing.T) {
	run(t, func(s *stream) {
		t := s.t
		s.answer = func(*nats.Msg) error { return errors.New("full") }
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
