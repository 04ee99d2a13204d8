package storage

import (
	"context"
	"errors"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/zap"
)

// backlog is what a consumer has not acknowledged yet.
type backlog struct {
	pending  uint64 // messages that wait to be delivered
	inFlight int    // messages that are with workers, or wait to be delivered again
	// oldest is when the oldest of them was stored; zero if there is none.
	oldest time.Time
	known  bool // the oldest could be looked at
}

// newBacklogs returns what looks at the consumer of each stream, and at its oldest
// message.
func newBacklogs(log *zap.Logger, streams []Stream) (consumers, oldest map[string]*optional) {
	consumers, oldest = make(map[string]*optional), make(map[string]*optional)
	for _, s := range streams {
		log := log.With(zap.String("stream", s.Name))
		consumers[s.Name] = &optional{
			log: log, rest: time.Minute, failure: "how many messages wait for our consumer cannot be seen; the right to publish " +
				"$JS.API.CONSUMER.INFO." + s.Name + "." + s.Consumer + " shows it",
		}
		oldest[s.Name] = &optional{
			log: log, rest: time.Minute, failure: "how long the oldest message has waited cannot be seen; the right to publish " +
				"$JS.API.DIRECT.GET." + s.Name + " shows it, where the stream allows direct gets",
		}
	}
	return consumers, oldest
}

// lookAtBacklog looks at what waits for our consumer; nil if that cannot be seen, or
// if there is no such consumer.
func (w *Watch) lookAtBacklog(ctx context.Context, stream jetstream.Stream, consumer string) (b *backlog) {
	if consumer == "" {
		return nil
	}
	name := stream.CachedInfo().Config.Name
	var info *jetstream.ConsumerInfo
	err := w.consumers[name].try(ctx, func(ctx context.Context) (err error) {
		info, err = infoOf(ctx, stream, consumer)
		return err
	})
	if err != nil || info == nil {
		return nil
	}
	b = &backlog{pending: info.NumPending, inFlight: info.NumAckPending}
	err = w.oldest[name].try(ctx, func(ctx context.Context) (err error) {
		b.oldest, err = oldestOf(ctx, stream, info)
		return err
	})
	b.known = err == nil
	return b
}

// infoOf returns nothing for a consumer that does not exist yet.
func infoOf(ctx context.Context, stream jetstream.Stream, consumer string) (*jetstream.ConsumerInfo, error) {
	handle, err := stream.Consumer(ctx, consumer)
	if errors.Is(err, jetstream.ErrConsumerNotFound) {
		return nil, nil //nolint:nilnil // it is made by a worker that begins
	}
	if err != nil {
		return nil, err
	}
	return handle.CachedInfo(), nil
}

// oldestOf returns when the oldest message was stored that a consumer has not
// acknowledged: everything up to its floor is. It is zero if there is none.
func oldestOf(ctx context.Context, stream jetstream.Stream, info *jetstream.ConsumerInfo) (time.Time, error) {
	msg, err := stream.GetMsg(ctx, info.AckFloor.Stream+1, jetstream.WithGetMsgSubject(info.Config.FilterSubject))
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return time.Time{}, nil
	}
	if err != nil {
		return time.Time{}, err
	}
	return msg.Time, nil
}

// age is how long the oldest message has waited, at a moment.
func (b *backlog) age(now time.Time) time.Duration {
	if b.oldest.IsZero() {
		return 0
	}
	return max(0, now.Sub(b.oldest))
}
