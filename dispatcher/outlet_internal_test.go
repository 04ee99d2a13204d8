package dispatcher

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"golang.org/x/sync/semaphore"
)

// mute is a JetStream that answers nothing, or stores everything but what is
// meant for another stream.
type mute struct {
	jetstream.JetStream

	answers atomic.Bool
	asked   atomic.Int64 // for a stream that is not there
}

// promise is what will be heard of a message.
type promise struct {
	jetstream.PubAckFuture

	ok  chan *jetstream.PubAck
	err chan error
}

func (p *promise) Ok() <-chan *jetstream.PubAck { return p.ok }
func (p *promise) Err() <-chan error            { return p.err }

func (m *mute) PublishMsgAsync(_ *nats.Msg, opts ...jetstream.PublishOpt) (jetstream.PubAckFuture, error) {
	answer := &promise{ok: make(chan *jetstream.PubAck, 1), err: make(chan error, 1)}
	isQuestion := len(opts) > 0
	if isQuestion {
		m.asked.Add(1)
	}
	switch {
	case !m.answers.Load():
	case isQuestion:
		answer.err <- &jetstream.APIError{Code: 400, Description: "expected stream does not match"}
	default:
		answer.ok <- &jetstream.PubAck{Sequence: 7}
	}
	return answer, nil
}

// newTestOutlet is one whose questions end with ctx.
func newTestOutlet(ctx context.Context, js jetstream.JetStream) *outlet {
	return &outlet{
		js: js, log: zap.NewNop(), gate: newGate(), room: semaphore.NewWeighted(publishAtOnce),
		beside: func(work func(context.Context)) { go work(ctx) },
	}
}

// A stream does not answer. Whoever publishes first finds out; nobody waits for
// it after that, until it answers again.
func TestASilentStreamHoldsNobodyUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithCancel(t.Context())
		defer stop()
		stream := &mute{}
		o := newTestOutlet(ctx, stream)
		publish := func() (took time.Duration, err error) {
			began, one := time.Now(), many(1)
			o.publish(one)
			return time.Since(began), one[0].err
		}
		took, err := publish()
		require.Equal(t, publishTimeout, took)
		require.ErrorIs(t, err, errNoAcknowledgement)
		for range 800 {
			time.Sleep(100 * time.Millisecond)
			took, err = publish()
			require.Zero(t, took)
			require.ErrorIs(t, err, errNoAcknowledgement)
		}
		require.InDelta(t, int(80*time.Second/(publishTimeout+tryEvery)), stream.asked.Load(), 1, "one question at a time")
		stream.answers.Store(true)
		for silent := time.Duration(0); err != nil; silent += time.Second {
			require.Less(t, silent, publishTimeout+2*tryEvery)
			time.Sleep(time.Second)
			_, err = publish()
		}
		require.True(t, o.gate.isOpen())
	})
}

// A worker that stops does not wait for an answer that nobody needs any more.
func TestAQuestionEndsWithTheWorker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithCancel(t.Context())
		o := newTestOutlet(ctx, &mute{})
		began := time.Now()
		time.AfterFunc(time.Second, stop)
		o.inquire(ctx, "capi.dead.1.refused")
		require.Equal(t, time.Second, time.Since(began))
	})
}

// slow is a JetStream that stores a hundred messages a second, one after the other,
// with a client that gives up waiting.
type slow struct {
	jetstream.JetStream

	mu   sync.Mutex
	free time.Time // when it has stored all that it has got
}

func (s *slow) PublishMsgAsync(*nats.Msg, ...jetstream.PublishOpt) (jetstream.PubAckFuture, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if now := time.Now(); s.free.Before(now) {
		s.free = now
	}
	s.free = s.free.Add(10 * time.Millisecond)
	answer := &promise{ok: make(chan *jetstream.PubAck, 1), err: make(chan error, 1)}
	if wait := time.Until(s.free); wait > publishTimeout {
		time.AfterFunc(publishTimeout, func() { answer.err <- jetstream.ErrAsyncPublishTimeout })
	} else {
		time.AfterFunc(wait, func() { answer.ok <- &jetstream.PubAck{} })
	}
	return answer, nil
}

// A stream that is slow is not given more at once than it answers in time: what
// counts as unanswered comes again, and keeps it from the rest.
func TestASlowStreamStoresEverything(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := newTestOutlet(t.Context(), &slow{})
		var senders sync.WaitGroup
		var stored atomic.Int64
		for range 20 {
			senders.Go(func() {
				here, _ := o.publish(many(500))
				stored.Add(int64(len(here)))
			})
		}
		senders.Wait()
		require.EqualValues(t, 20*500, stored.Load())
	})
}

func many(n int) (publications []*publication) {
	for range n {
		publications = append(publications, &publication{msg: nats.NewMsg("capi.dead.1.refused")})
	}
	return publications
}
