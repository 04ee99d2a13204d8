package dispatcher

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/zap"

	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/fetch"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/retry"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/rights"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/streams"
	"github.com/capi-dispatcher/capi-dispatcher/graph/event"
)

const (
	// pullSize is how many messages one pull asks for at the most. More would
	// wait in the client, where they use up their lease.
	pullSize = 1000
	// pullWait is how long a pull waits for messages. It is also how long a
	// stopping worker waits for its last pull to end: cutting it short would
	// leave what is under way to AckWait.
	pullWait = time.Second
	// messageOverhead is what a message in flight weighs beside its bytes.
	messageOverhead = 1 << 10
)

// pullLoop pulls from a source until the dispatcher is to stop. What it pulls is
// admitted beside it: a message may have to wait for room, and must not keep
// those after it from having their leases renewed.
func (p *puller) pullLoop(s *source) {
	pulled := make(chan *message, p.cfg.Delivery.mostMessages())
	var admission sync.WaitGroup
	admission.Go(func() { p.admitAll(pulled) })
	defer admission.Wait()
	defer close(pulled)
	var loop retry.Loop
	for !p.stopping() {
		most, err := p.awaitReady()
		if err != nil {
			return
		}
		if s = p.recheck(s); !s.usable() {
			loop.SlowDown(p.intakeCtx)
			continue
		}
		if s.waits {
			_ = retry.Wait(p.intakeCtx, streams.LookEvery)
			continue
		}
		messages, bytes, err := p.reserve(s, most)
		if err != nil {
			return
		}
		if err := p.pull(s, messages, bytes, pulled); err != nil {
			loop.SlowDown(p.intakeCtx)
			s = p.reopen(s, err)
			continue
		}
		loop.Reset()
		if s.gate.Open() {
			p.log.Info("events are pulled again", zap.String("stream", s.stream))
		}
	}
}

// awaitReady waits until events can go anywhere, and returns how many may be
// pulled at once. While Meta cannot be reached, the stream is the queue, and a
// few events now and then are the probe.
func (p *puller) awaitReady() (most int, err error) {
	if err := p.claims.Await(p.intakeCtx); err != nil {
		return 0, err
	}
	if p.gates.graph.IsOpen() {
		return pullSize, nil
	}
	const probeSize, probeEvery = 8, 5 * time.Second
	ctx, cancel := context.WithTimeout(p.intakeCtx, probeEvery)
	defer cancel()
	if p.gates.graph.AwaitOpen(ctx) == nil {
		return pullSize, nil
	}
	return probeSize, p.intakeCtx.Err()
}

// reserve waits for room for a pull. Where nothing is known to wait, as in most pulls
// from the parked stream, it leaves the bytes to those who have use for them.
func (p *puller) reserve(s *source, most int) (messages, bytes int, err error) {
	least := largestMessage(p.deps.JetStream.Conn())
	messages, bytes, err = p.budget.Reserve(p.intakeCtx, most, least)
	if spare := bytes - least; err == nil && spare > 0 && s.pending.Load() == 0 {
		p.budget.Free(0, spare)
		bytes = least
	}
	return messages, bytes, err
}

// largestMessage returns the size of the largest message that the server
// accepts, headers included.
func largestMessage(conn *nats.Conn) int { return int(conn.MaxPayload()) + messageOverhead }

// CheckRoom makes sure that the largest message that the server takes has room
// in flight: it would be waited for in vain. The error is a [streams.SetupError].
func CheckRoom(maxPayload int64, maxInFlightBytes int) error {
	if largest := int(maxPayload) + messageOverhead; largest > maxInFlightBytes {
		return &streams.SetupError{Problem: fmt.Sprintf(
			"the NATS server takes messages of up to %d bytes (max_payload), and the room for messages in flight (max_in_flight_bytes) is only %d; it has to be %d or more",
			maxPayload, maxInFlightBytes, largest)}
	}
	return nil
}

func (p *puller) checkRoom() error {
	return CheckRoom(p.deps.JetStream.Conn().MaxPayload(), p.cfg.Delivery.MaxInFlightBytes)
}

// mostMessages is how many messages there can be room for.
func (d Delivery) mostMessages() int { return min(d.MaxInFlight, d.MaxInFlightBytes/messageOverhead) }

// pull asks for messages and hands them on as they come. It returns the room it
// did not need.
func (p *puller) pull(s *source, messages, bytes int, pulled chan<- *message) (err error) {
	defer func() { p.budget.Free(messages, bytes) }()
	s.traces.At(p.deps.JetStream.Conn().ConnectedUrlRedacted())
	s.epoch.Pulling()
	defer func() { s.epoch.Pulled(err != nil) }()
	asked, got := time.Now(), false
	err = s.pulls.Fetch(fetch.Want{Messages: messages, Bytes: bytes, Wait: pullWait}, func(msg *nats.Msg) error {
		m, err := newMessage(s, msg)
		if err != nil {
			return err
		}
		messages--
		bytes -= m.bytes
		m.lease = p.leases.Begin(m, s.epoch, asked)
		got = true
		pulled <- m
		return nil
	})
	if err != nil {
		return err
	}
	if !got {
		s.pending.Store(0) // others may have pulled what was pending
	}
	// Nothing is all that comes of a pull that is denied, and of an
	// acknowledgement nothing is heard at all.
	return p.deps.Rights.Since(asked, s.pulls.Subject, "$JS.ACK."+s.stream)
}

// admitAll admits messages in the order in which they were pulled, those that are
// there already together; those that are left when the dispatcher is to stop are
// given back.
func (p *puller) admitAll(pulled <-chan *message) {
	in := intake{admitter: p.admitter, decoder: event.NewDecoder(p.cfg.Rules).Withhold(p.deps.Secrets)}
	for m := range pulled {
		if p.stopping() {
			p.settler.returnWhole(m)
		} else {
			in.admit(m)
		}
		if len(pulled) == 0 || in.full() {
			in.flush()
		}
	}
}

func newMessage(s *source, msg *nats.Msg) (*message, error) {
	meta, err := msg.Metadata()
	if err != nil {
		return nil, err
	}
	s.pending.Store(int64(meta.NumPending))
	s.saw(meta)
	return &message{
		Msg: msg, source: s,
		sequence: meta.Sequence.Stream, published: meta.Timestamp,
		redelivered: meta.NumDelivered > 1,
		bytes:       len(msg.Data) + headerBytes(msg.Header) + messageOverhead,
	}, nil
}

func headerBytes(headers nats.Header) (bytes int) {
	for name, values := range headers {
		for _, value := range values {
			bytes += len(name) + len(value)
		}
	}
	return bytes
}

// reopen logs what went wrong with a source, and finds its stream and consumer
// again: they may have been deleted, or a server may have lost them.
func (p *puller) reopen(s *source, cause error) *source {
	if p.stopping() {
		return s
	}
	if s.gate.Shut("events cannot be pulled from stream " + s.stream + ": " + cause.Error()) {
		p.log.Warn("events cannot be pulled", zap.String("stream", s.stream), zap.Error(cause))
	}
	if !p.deps.JetStream.Conn().IsConnected() {
		return s // it may all be there when the connection is back
	}
	return p.openAgain(s)
}

// openAgain finds a source's stream and consumer again. If they are not as they
// have to be, readiness says so.
func (p *puller) openAgain(s *source) *source {
	ctx, cancel := context.WithTimeout(p.intakeCtx, 10*time.Second)
	defer cancel()
	var fresh *source
	err := p.deps.Rights.Do(ctx, func(ctx context.Context) (err error) {
		fresh, err = p.openSource(ctx, s.role)
		return err
	}, p.rightsToOpen(s.stream)...)
	if err == nil {
		return fresh
	}
	p.askAgain(err)
	if p.intakeCtx.Err() == nil {
		s.gate.Shut(err.Error())
		p.log.Warn("the stream or its consumer is not usable", zap.String("stream", s.stream), zap.Error(err))
	}
	_, s.wrong = errors.AsType[*streams.SetupError](err)
	return s
}

// rightsToOpen is what has to be published to open a source.
func (r *run) rightsToOpen(stream string) (subjects []string) {
	for _, call := range []string{
		"STREAM.INFO.", "STREAM.CREATE.", "CONSUMER.INFO.", "CONSUMER.CREATE.",
		"CONSUMER.DELETE.",
	} {
		subjects = append(subjects, rights.APIPrefix(r.deps.JetStream)+call+stream)
	}
	return subjects
}

// recheck looks once per AckWait whether the consumer still has the settings
// that leases are based on: they may have been changed, and a pull would not
// show it. Nothing is pulled from a consumer that is wrong, or of a stream that
// is gone.
func (p *puller) recheck(s *source) *source {
	if s.waits {
		return p.openAgain(s)
	}
	fits := p.checkRoom() == nil
	if s.usable() && fits && time.Since(s.checked) < p.cfg.Streams.AckWait {
		return s
	}
	s.checked = time.Now()
	ctx, cancel := context.WithTimeout(p.intakeCtx, 5*time.Second)
	defer cancel()
	info, err := s.consumer.Info(ctx)
	p.lookAtTheClock(info, time.Since(s.checked))
	suits := err == nil && p.streamSet().Suits(info, s.role)
	if err != nil && !errors.Is(err, jetstream.ErrConsumerNotFound) || s.usable() && fits && suits {
		return s
	}
	if !suits {
		p.log.Warn("the consumer has been changed or deleted", zap.String("stream", s.stream))
	}
	return p.openAgain(s)
}

// lookAtTheClock learns what time it is on the server, and says so if that is
// far from our time.
func (p *puller) lookAtTheClock(info *jetstream.ConsumerInfo, took time.Duration) {
	const much = 5 * time.Second
	if info == nil {
		return
	}
	p.clock.Observe(info.TimeStamp, took)
	if skew := p.clock.Skew(); skew.Abs() > much {
		p.clockTrouble.Do(func() {
			p.log.Warn("the NATS server's clock differs from ours; set both by NTP", zap.Duration("ahead_of_ours", skew))
		})
	}
}
