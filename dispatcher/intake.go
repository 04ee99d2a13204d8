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
	// messageOverhead is what a message in hand weighs beside its bytes.
	messageOverhead = 1 << 10
)

// take pulls from a source until the dispatcher is to stop. What it pulls is
// admitted beside it: a message may have to wait for room, and must not keep
// those after it from having their leases renewed.
func (d *Dispatcher) take(s *source) {
	pulled := make(chan *message, d.cfg.Delivery.mostMessages())
	var admission sync.WaitGroup
	admission.Go(func() { d.admitAll(pulled) })
	defer admission.Wait()
	defer close(pulled)
	var loop retry.Loop
	for !d.stopping() {
		most, err := d.mayTake()
		if err != nil {
			return
		}
		if s = d.recheck(s); !s.usable() {
			loop.SlowDown(d.taking)
			continue
		}
		if s.waits {
			_ = retry.Wait(d.taking, streams.LookEvery)
			continue
		}
		messages, bytes, err := d.budget.Reserve(d.taking, most, largestMessage(d.deps.JetStream.Conn()))
		if err != nil {
			return
		}
		if err := d.pull(s, messages, bytes, pulled); err != nil {
			loop.SlowDown(d.taking)
			s = d.reopen(s, err)
			continue
		}
		loop.Reset()
		if s.gate.Open() {
			d.log.Info("events are pulled again", zap.String("stream", s.stream))
		}
	}
}

// mayTake waits until events can go anywhere, and tells how many may be
// pulled at once. While Meta cannot be reached, the stream is the queue, and a
// few events now and then are the probe.
func (d *Dispatcher) mayTake() (most int, err error) {
	if err := d.claims.Await(d.taking); err != nil {
		return 0, err
	}
	if d.gates.graph.IsOpen() {
		return pullSize, nil
	}
	const probeSize, probeEvery = 8, 5 * time.Second
	ctx, cancel := context.WithTimeout(d.taking, probeEvery)
	defer cancel()
	if d.gates.graph.AwaitOpen(ctx) == nil {
		return pullSize, nil
	}
	return probeSize, d.taking.Err()
}

// largestMessage is what the server lets anybody publish, headers and all.
func largestMessage(conn *nats.Conn) int { return int(conn.MaxPayload()) + messageOverhead }

// CheckRoom makes sure that the largest message that the server takes has room
// in hand: it would be waited for in vain. The error is a [streams.SetupError].
func CheckRoom(maxPayload int64, maxInHandBytes int) error {
	if largest := int(maxPayload) + messageOverhead; largest > maxInHandBytes {
		return &streams.SetupError{Problem: fmt.Sprintf(
			"the NATS server takes messages of up to %d bytes (max_payload), and delivery.max_in_hand_bytes is only %d; set it to %d or more",
			maxPayload, maxInHandBytes, largest)}
	}
	return nil
}

func (d *Dispatcher) checkRoom() error {
	return CheckRoom(d.deps.JetStream.Conn().MaxPayload(), d.cfg.Delivery.MaxInHandBytes)
}

// mostMessages is how many messages there can be room for.
func (d Delivery) mostMessages() int { return min(d.MaxInHand, d.MaxInHandBytes/messageOverhead) }

// pull asks for messages and hands them on as they come. It returns the room it
// did not need.
func (d *Dispatcher) pull(s *source, messages, bytes int, pulled chan<- *message) (err error) {
	defer func() { d.budget.Free(messages, bytes) }()
	s.epoch.Pulling()
	defer func() { s.epoch.Pulled(err != nil) }()
	asked := time.Now()
	batch, err := s.consumer.Fetch(messages,
		jetstream.FetchMaxBytes(bytes), jetstream.FetchMaxWait(pullWait))
	if err != nil {
		return err
	}
	got := false
	for msg := range batch.Messages() {
		m, err := newMessage(s, msg)
		if err != nil {
			return err
		}
		messages--
		bytes -= m.bytes
		m.lease = d.leases.Begin(msg, s.epoch, asked)
		got = true
		pulled <- m
	}
	if err := batch.Error(); err != nil {
		return err
	}
	if !got {
		s.pending.Store(0) // others may have pulled what was pending
	}
	// Nothing is all that comes of a pull that is denied, and of an
	// acknowledgement nothing is heard at all.
	return d.deps.Rights.Since(asked, rights.APIPrefix(d.deps.JetStream)+"CONSUMER.MSG.NEXT."+s.stream, "$JS.ACK."+s.stream)
}

// admitAll admits messages in the order in which they were pulled; those that
// are left when the dispatcher is to stop are given back.
func (d *Dispatcher) admitAll(pulled <-chan *message) {
	decoder := event.NewDecoder(d.cfg.Rules).Withhold(d.deps.Secrets)
	for m := range pulled {
		if d.stopping() {
			d.giveBackWhole(m)
			continue
		}
		d.admit(m, decoder)
	}
}

func newMessage(s *source, msg jetstream.Msg) (*message, error) {
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
		bytes:       len(msg.Data()) + headerBytes(msg.Headers()) + messageOverhead,
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

// reopen says what went wrong with a source, and finds its stream and consumer
// again: somebody may have deleted them, or a server may have lost them.
func (d *Dispatcher) reopen(s *source, cause error) *source {
	if d.stopping() {
		return s
	}
	if s.gate.Shut("events cannot be pulled from stream " + s.stream + ": " + cause.Error()) {
		d.log.Warn("events cannot be pulled", zap.String("stream", s.stream), zap.Error(cause))
	}
	if !d.deps.JetStream.Conn().IsConnected() {
		return s // it may all be there when the connection is back
	}
	return d.openAgain(s)
}

// openAgain finds a source's stream and consumer again. If they are not as they
// have to be, readiness says so.
func (d *Dispatcher) openAgain(s *source) *source {
	ctx, cancel := context.WithTimeout(d.taking, 10*time.Second)
	defer cancel()
	var fresh *source
	err := d.deps.Rights.Do(ctx, func(ctx context.Context) (err error) {
		fresh, err = d.openSource(ctx, s.role)
		return err
	}, d.rightsToOpen(s.stream)...)
	if err == nil {
		return fresh
	}
	d.askAgain(err)
	if d.taking.Err() == nil {
		s.gate.Shut(err.Error())
		d.log.Warn("the stream or its consumer is not usable", zap.String("stream", s.stream), zap.Error(err))
	}
	_, s.wrong = errors.AsType[*streams.SetupError](err)
	return s
}

// rightsToOpen is what has to be published to open a source.
func (d *Dispatcher) rightsToOpen(stream string) (subjects []string) {
	for _, call := range []string{"STREAM.INFO.", "STREAM.CREATE.", "CONSUMER.INFO.", "CONSUMER.CREATE.", "CONSUMER.DELETE."} {
		subjects = append(subjects, rights.APIPrefix(d.deps.JetStream)+call+stream)
	}
	return subjects
}

// recheck looks once in an AckWait whether the consumer is still what leases
// are reckoned by: somebody may have changed it, and pulling would not show it.
// Nothing is pulled from a consumer that is wrong, or of a stream that is gone.
func (d *Dispatcher) recheck(s *source) *source {
	if s.waits {
		return d.openAgain(s)
	}
	fits := d.checkRoom() == nil
	if s.usable() && fits && time.Since(s.checked) < d.cfg.Streams.AckWait {
		return s
	}
	s.checked = time.Now()
	ctx, cancel := context.WithTimeout(d.taking, 5*time.Second)
	defer cancel()
	info, err := s.consumer.Info(ctx)
	d.lookAtTheClock(info, time.Since(s.checked))
	suits := err == nil && d.streamSet().Suits(info, s.role)
	if err != nil && !errors.Is(err, jetstream.ErrConsumerNotFound) || s.usable() && fits && suits {
		return s
	}
	if !suits {
		d.log.Warn("the consumer has been changed or deleted", zap.String("stream", s.stream))
	}
	return d.openAgain(s)
}

// lookAtTheClock learns what time it is on the server, and says so if that is
// far from our time.
func (d *Dispatcher) lookAtTheClock(info *jetstream.ConsumerInfo, took time.Duration) {
	const much = 5 * time.Second
	if info == nil {
		return
	}
	d.clock.Observe(info.TimeStamp, took)
	if skew := d.clock.Skew(); skew.Abs() > much {
		d.clockTrouble.Do(func() {
			d.log.Warn("the NATS server's clock differs from ours; set both by NTP", zap.Duration("ahead_of_ours", skew))
		})
	}
}
