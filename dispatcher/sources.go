package dispatcher

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/health"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/retry"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/rights"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/storage"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/streams"
)

// openStreams creates or verifies all streams and consumers. While the server
// does not answer it waits; what a person has to mend is an error.
func (d *Dispatcher) openStreams(ctx context.Context) ([]*source, error) {
	var loop retry.Loop
	for {
		sources, err := d.tryOpenStreams(ctx)
		var setup *streams.SetupError
		if err == nil || errors.As(err, &setup) || ctx.Err() != nil {
			return sources, err
		}
		d.gates.events.Shut(err.Error())
		d.log.Warn("the streams cannot be looked at yet", zap.Error(err))
		loop.SlowDown(ctx)
		d.askAgain(err)
	}
}

func (d *Dispatcher) tryOpenStreams(ctx context.Context) (sources []*source, err error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	err = d.deps.Rights.Do(ctx, func(ctx context.Context) error {
		if err := d.streamSet().Ensure(ctx); err != nil {
			return err
		}
		events, err := d.openSource(ctx, streams.Events)
		if err != nil {
			return err
		}
		parked, err := d.openSource(ctx, streams.Parked)
		sources = []*source{events, parked}
		return err
	})
	return sources, err
}

// askAgain makes the connection anew if an inbox was denied: it is asked for
// once in a connection's life, and the right may have been granted since.
func (d *Dispatcher) askAgain(err error) {
	if denied, ok := errors.AsType[*rights.DeniedError](err); ok && denied.Subscribe {
		_ = d.deps.JetStream.Conn().ForceReconnect() // fails where the connection is closed
	}
}

// openSource opens one of the two consumers, made anew if need be.
func (d *Dispatcher) openSource(ctx context.Context, role streams.Role) (*source, error) {
	if err := d.checkRoom(); err != nil {
		return nil, err
	}
	set, name := d.streamSet(), d.cfg.Streams.Name(role)
	gate, pending, others := d.ofSource(role)
	asked := time.Now()
	stream, err := set.Open(ctx, name)
	if err != nil {
		return nil, err
	}
	d.clock.Observe(stream.CachedInfo().TimeStamp, time.Since(asked))
	consumer, err := set.Consumer(ctx, stream, role, others)
	differ, waits := errors.AsType[*streams.OtherSettingsError](err)
	switch {
	case waits:
		others.Found(differ, d.log)
		gate.Open() // ready: in a rolling update the others stay until we are
	case err != nil:
		return nil, err
	case others.Left():
		d.log.Info("the workers with other settings are gone", zap.String("stream", name))
	}
	return &source{
		waits: waits, stream: name, consumer: consumer, role: role, pending: pending, gate: gate, checked: time.Now(),
		epoch: d.epochs.Of(stream.CachedInfo()),
	}, nil
}

// ofSource returns what goes on when a source is opened anew.
func (d *Dispatcher) ofSource(role streams.Role) (gate *health.Gate, pending *atomic.Int64, others *streams.OtherWorkers) {
	if role == streams.Parked {
		return d.gates.parked, &d.backlog.parked, &d.others.parked
	}
	return d.gates.events, &d.backlog.events, &d.others.events
}

func (d *Dispatcher) streamSet() *streams.Set {
	return streams.New(d.cfg.Streams, d.deps.JetStream, func(text string) { d.log.Warn(text) }).KeyedBy(string(d.cfg.Identity))
}

// watched lists the streams that are looked at regularly.
func (d *Dispatcher) watched() []storage.Stream {
	s := d.cfg.Streams
	return []storage.Stream{
		{Name: s.Stream, Label: "events", Subject: s.Subject, Consumer: s.Consumer, Seen: d.seen},
		{Name: s.ParkedStream, Label: "parked", Seen: d.seen},
		{Name: s.DeadLetterStream, Label: "dead_letters", Subject: s.DeadLetterSubject, Seen: d.seen},
	}
}

// workersCondition says whether other workers have other settings.
func (d *Dispatcher) workersCondition() health.Condition {
	if c := d.others.events.Condition(); !c.OK {
		return c
	}
	return d.others.parked.Condition()
}
