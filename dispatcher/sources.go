package dispatcher

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/zap"
	"golang.org/x/time/rate"

	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/claims"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/epoch"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/fetch"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/health"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/inflight"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/lease"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/retry"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/rights"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/streams"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/traces"
)

// source is a consumer that events are pulled from.
type source struct {
	stream   string
	consumer jetstream.Consumer
	pulls    fetch.Consumer // the same
	epoch    *epoch.Epoch
	gate     *health.Gate // open while pulling works
	role     streams.Role
	traces   *traces.Source
	pending  *atomic.Int64

	// Only the goroutine that pulls from the source reads or writes these.
	checked      time.Time // when the consumer was last looked at
	wrong        bool      // the consumer is not as it has to be
	waits        bool      // for workers with other settings to go
	lastDelivery uint64    // number of the last message that came, as the consumer counts
	lastNew      uint64    // number of the last that came for the first time, as the stream counts
}

// parked reports whether the messages are events that we parked.
func (s *source) parked() bool { return s.role == streams.Parked }

// usable reports whether there is any use in pulling from the source.
func (s *source) usable() bool { return !s.wrong && !s.epoch.Over() }

// saw notes a delivery. Its numbers rise while consumer and stream are the
// same; where they do not, the epoch is in doubt.
func (s *source) saw(meta *nats.MsgMetadata) {
	anew := meta.NumDelivered == 1
	if meta.Sequence.Consumer <= s.lastDelivery || anew && meta.Sequence.Stream <= s.lastNew {
		s.epoch.Doubt()
	}
	s.lastDelivery = meta.Sequence.Consumer
	if anew {
		s.lastNew = meta.Sequence.Stream
		s.epoch.Stored(s.lastNew)
	}
}

// puller pulls messages from the two consumers.
type puller struct {
	*run

	admitter     *admitter
	settler      *settler
	claims       *claims.Book
	budget       *inflight.Budget
	backlog      *backlog
	leases       *lease.Keeper
	epochs       *epoch.Watch
	gates        *gates
	others       otherWorkers
	clockTrouble rate.Sometimes // is logged
}

// otherWorkers are those that use a consumer with other settings.
type otherWorkers struct{ events, parked streams.OtherWorkers }

// openStreams creates or verifies all streams and consumers. While the server
// does not answer it waits; what a person has to mend is an error.
func (p *puller) openStreams(ctx context.Context) ([]*source, error) {
	var loop retry.Loop
	for {
		sources, err := p.tryOpenStreams(ctx)
		var setup *streams.SetupError
		if err == nil || errors.As(err, &setup) || ctx.Err() != nil {
			return sources, err
		}
		p.gates.events.Shut(err.Error())
		p.log.Warn("the streams cannot be looked at yet", zap.Error(err))
		loop.SlowDown(ctx)
		p.askAgain(err)
	}
}

func (p *puller) tryOpenStreams(ctx context.Context) (sources []*source, err error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	err = p.deps.Rights.Do(ctx, func(ctx context.Context) error {
		if err := p.streamSet().Ensure(ctx); err != nil {
			return err
		}
		events, err := p.openSource(ctx, streams.Events)
		if err != nil {
			return err
		}
		parked, err := p.openSource(ctx, streams.Parked)
		sources = []*source{events, parked}
		return err
	})
	return sources, err
}

// askAgain makes the connection anew if an inbox was denied: it is asked for
// once in a connection's life, and the right may have been granted since.
func (p *puller) askAgain(err error) {
	if denied, ok := errors.AsType[*rights.DeniedError](err); ok && denied.Subscribe {
		_ = p.deps.JetStream.Conn().ForceReconnect() // fails where the connection is closed
	}
}

// openSource opens one of the two consumers, made anew if need be.
func (p *puller) openSource(ctx context.Context, role streams.Role) (*source, error) {
	if err := p.checkRoom(); err != nil {
		return nil, err
	}
	set, name := p.streamSet(), p.cfg.Streams.Name(role)
	gate, pending, others := p.ofSource(role)
	asked := time.Now()
	stream, err := set.Open(ctx, name)
	if err != nil {
		return nil, err
	}
	p.clock.Observe(stream.CachedInfo().TimeStamp, time.Since(asked))
	consumer, err := set.Consumer(ctx, stream, role, others)
	differ, waits := errors.AsType[*streams.OtherSettingsError](err)
	switch {
	case waits:
		others.Found(differ, p.log)
		gate.Open() // ready: in a rolling update the others stay until we are
	case err != nil:
		return nil, err
	case others.Left():
		p.log.Info("the workers with other settings are gone", zap.String("stream", name))
	}
	return &source{
		waits: waits, stream: name, role: role, traces: p.spans.of(role), pending: pending, gate: gate, checked: time.Now(),
		consumer: consumer, pulls: fetch.Consumer{
			Conn:    p.deps.JetStream.Conn(),
			Subject: rights.APIPrefix(p.deps.JetStream) + "CONSUMER.MSG.NEXT." + name + "." + p.cfg.Streams.Consumer,
		},
		epoch: p.epochs.Of(stream.CachedInfo()),
	}, nil
}

// ofSource returns what goes on when a source is opened anew.
func (p *puller) ofSource(role streams.Role) (gate *health.Gate, pending *atomic.Int64, others *streams.OtherWorkers) {
	if role == streams.Parked {
		return p.gates.parked, &p.backlog.parked, &p.others.parked
	}
	return p.gates.events, &p.backlog.events, &p.others.events
}

func (r *run) streamSet() *streams.Set {
	set := streams.New(r.cfg.Streams, r.deps.JetStream, func(text string) { r.log.Warn(text) })
	return set.KeyedBy(string(r.cfg.Identity))
}
