package publish_test

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/capi-dispatcher/capi-dispatcher/cmd/internal/connect"
	"github.com/capi-dispatcher/capi-dispatcher/cmd/internal/publish"
	"github.com/capi-dispatcher/capi-dispatcher/config"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/natstest"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/rights"
	"github.com/capi-dispatcher/capi-dispatcher/internal/secret"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// scene is a publisher between a NATS that comes and goes and whoever reads what
// it says.
type scene struct {
	*publish.Publisher

	t      *testing.T
	server *natstest.Server
	said   []string
	onSay  func(line string)
}

func newScene(t *testing.T, change func(*publish.Config)) *scene {
	t.Helper()
	s := &scene{t: t, server: natstest.Start(t), onSay: func(string) {}}
	cfg := config.Default().NATS
	cfg.URL = secret.URLs(s.server.URL())
	conn, err := connect.NATSNow(&cfg, connect.Publish)
	require.NoError(t, err)
	t.Cleanup(conn.Conn().Close)
	whole := publish.Config{NATS: conn, Patience: time.Minute, Say: func(line string) {
		s.said = append(s.said, line)
		s.onSay(line)
	}}
	change(&whole)
	s.Publisher = publish.New(whole)
	return s
}

func (s *scene) stream(cfg jetstream.StreamConfig) jetstream.Stream {
	s.t.Helper()
	cfg.Name, cfg.Subjects = "CAPI", []string{"capi.events.>"}
	stream, err := s.server.JetStream().CreateStream(s.t.Context(), cfg)
	require.NoError(s.t, err)
	return stream
}

func message(number int) publish.Message {
	msg := nats.NewMsg("capi.events.1")
	msg.Data = []byte(strconv.Itoa(number))
	return publish.Message{Msg: msg, Number: number, Place: fmt.Sprint("line ", number), Events: 2}
}

// publishAll publishes messages with the numbers from … to, and stops like the verb.
func (s *scene) publishAll(from, to int) (err error) {
	for number := from; number <= to && err == nil; number++ {
		err = s.Publish(s.t.Context(), message(number))
	}
	return err
}

func (s *scene) stored(stream jetstream.Stream) (distinct int) {
	s.t.Helper()
	info, err := stream.Info(s.t.Context())
	require.NoError(s.t, err)
	seen := make(map[string]bool)
	for sequence := range info.State.LastSeq {
		msg, err := stream.GetMsg(s.t.Context(), sequence+1)
		require.NoError(s.t, err)
		seen[string(msg.Data)] = true
	}
	return len(seen)
}

func TestNATSThatGoesAwayIsWaitedFor(t *testing.T) {
	t.Parallel()
	s := newScene(t, func(*publish.Config) {})
	stream := s.stream(jetstream.StreamConfig{})
	require.NoError(t, s.publishAll(1, 1000))
	require.NoError(t, s.Finish(t.Context()))

	for outage := 1; outage <= 2; outage++ {
		s.server.Stop()
		s.onSay = func(line string) {
			if strings.HasPrefix(line, "NATS takes no messages (") && !s.server.Running() {
				s.server.Restart()
			}
		}
		first := 1000 + (outage-1)*3000
		require.NoError(t, s.publishAll(first+1, first+3000))
		require.NoError(t, s.Finish(t.Context()))
	}
	require.Equal(t, 7000, s.Published)
	require.Equal(t, 14000, s.Events)
	require.Zero(t, s.Failed)
	require.Zero(t, s.First)
	require.Equal(t, 7000, s.stored(stream))
	require.LessOrEqual(t, len(s.said), 10, "a handful of lines: %v", s.said)
	require.Regexp(t, "^NATS takes messages again, after ", s.said[len(s.said)-1])
}

// What was sent and not acknowledged when the connection broke is sent again.
func TestWhatIsNotAcknowledgedIsSentAgain(t *testing.T) {
	t.Parallel()
	s := newScene(t, func(*publish.Config) {})
	stream := s.stream(jetstream.StreamConfig{})
	require.NoError(t, s.publishAll(1, 1))
	require.NoError(t, s.Finish(t.Context()))
	require.NoError(t, s.publishAll(2, 2000)) // fewer than make it wait for an answer
	s.server.Stop()
	s.onSay = func(line string) {
		if strings.HasPrefix(line, "NATS takes no messages (") && !s.server.Running() {
			s.server.Restart()
		}
	}
	require.NoError(t, s.publishAll(2001, 2001))
	require.NoError(t, s.Finish(t.Context()))
	require.Equal(t, 2001, s.Published)
	require.Equal(t, 2001, s.stored(stream))
}

func TestPatienceEnds(t *testing.T) {
	t.Parallel()
	s := newScene(t, func(cfg *publish.Config) { cfg.Patience = time.Millisecond })
	s.stream(jetstream.StreamConfig{})
	require.NoError(t, s.publishAll(1, 10))
	require.NoError(t, s.Finish(t.Context()))
	s.server.Stop()
	require.ErrorIs(t, s.publishAll(11, 5000), publish.ErrAway)
	require.ErrorIs(t, s.Finish(t.Context()), publish.ErrAway)
	require.Equal(t, 11, s.First, "here it goes on")
	require.Equal(t, 10, s.Published)
	require.Len(t, s.said, 1)
}

func TestAnInterruptionEndsTheWait(t *testing.T) {
	t.Parallel()
	interrupted := make(chan struct{})
	s := newScene(t, func(cfg *publish.Config) { cfg.Interrupted = interrupted })
	s.stream(jetstream.StreamConfig{})
	require.NoError(t, s.publishAll(1, 10))
	require.NoError(t, s.Finish(t.Context()))
	s.server.Stop()
	s.onSay = func(string) { close(interrupted) }
	require.ErrorIs(t, s.publishAll(11, 5000), publish.ErrInterrupted)
	require.ErrorIs(t, s.Finish(t.Context()), publish.ErrInterrupted)
	require.Equal(t, 11, s.First)
}

// An interruption does not leave behind what NATS has yet to acknowledge.
func TestWhatIsUnderWayIsWaitedForAfterAnInterruption(t *testing.T) {
	t.Parallel()
	interrupted := make(chan struct{})
	s := newScene(t, func(cfg *publish.Config) { cfg.Interrupted = interrupted })
	stream := s.stream(jetstream.StreamConfig{})
	require.NoError(t, s.publishAll(1, 100))
	close(interrupted)
	require.ErrorIs(t, s.publishAll(101, 200), publish.ErrInterrupted)
	require.ErrorIs(t, s.Finish(t.Context()), publish.ErrInterrupted)
	require.Equal(t, 100, s.Published)
	require.Equal(t, 101, s.First)
	require.Equal(t, 100, s.stored(stream))
}

func TestWithoutAStreamNothingGoesOn(t *testing.T) {
	t.Parallel()
	s := newScene(t, func(*publish.Config) {})
	require.NoError(t, s.publishAll(1, 3))
	require.ErrorIs(t, s.Finish(t.Context()), publish.ErrNoStream)
	require.Equal(t, 3, s.Failed)
	require.Equal(t, 1, s.First)
	require.Empty(t, s.said)
}

func TestWhatNATSRefusesIsSaidOnce(t *testing.T) {
	t.Parallel()
	s := newScene(t, func(*publish.Config) {})
	s.stream(jetstream.StreamConfig{MaxMsgs: 10, Discard: jetstream.DiscardNew})
	require.NoError(t, s.publishAll(1, 5000))
	require.NoError(t, s.Finish(t.Context()))
	require.Equal(t, 10, s.Published)
	require.Equal(t, 4990, s.Failed)
	require.Equal(t, 11, s.First)
	require.Len(t, s.said, 1)
	require.Regexp(t, "^line 11: not published: .*maximum messages exceeded", s.said[0])
	refusals := s.Refusals()
	require.Len(t, refusals, 1)
	require.Regexp(t, "^4990 messages refused by NATS: .*maximum messages exceeded", refusals[0])
}

func TestADenialEndsIt(t *testing.T) {
	t.Parallel()
	s := newScene(t, func(*publish.Config) {})
	s.stream(jetstream.StreamConfig{})
	ctx, deny := context.WithCancelCause(t.Context())
	require.NoError(t, s.Publish(ctx, message(1)))
	denied := &rights.DeniedError{Subject: "capi.events.1"}
	deny(denied)
	require.ErrorIs(t, s.Publish(ctx, message(2)), denied)
	require.ErrorIs(t, s.Finish(ctx), denied)
	require.Empty(t, s.said)
}
