// Package publish puts messages on a stream that may be away for a while.
//
// Messages are sent without waiting for the answer to each, at most 2,048 of
// them ahead of the answers. Those that NATS has not acknowledged when its connection
// breaks are sent again once it is back: the stream may then hold copies of them.
// A message that NATS refuses is not sent again, and does not stop the others.
package publish

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/capi-dispatcher/capi-dispatcher/cmd/internal/connect"
	"github.com/capi-dispatcher/capi-dispatcher/cmd/internal/terminal"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/rights"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/traces"
)

// Why no more is published.
var (
	ErrInterrupted = errors.New("interrupted")
	ErrAway        = errors.New("NATS was away for too long")
	ErrNoStream    = errors.New("no stream listens")
)

// atOnce is how many messages may be unacknowledged.
const atOnce = 2048

// Message is a message, and what it came from.
type Message struct {
	*nats.Msg

	Number int    // of the line or element
	Place  string // the same for people
	Events int
	Span   traces.Publication // ended here
}

// Tally is what has become of the messages.
type Tally struct {
	Published int // messages that NATS has acknowledged
	Events    int // in them
	Again     int // messages that were sent more than once
	Failed    int // messages that are not published
	First     int // the number of the first that is not published, or 0
}

// Config is what a [Publisher] works with.
type Config struct {
	NATS *connect.Connection
	// Patience is how long a NATS that is away is waited for.
	Patience time.Duration
	// Interrupted is closed when somebody wants an end. What is under way is then
	// waited for, and nothing more is sent.
	Interrupted <-chan struct{}
	// Say tells people what they should know at once: a line, and few of them.
	Say func(line string)
}

// Publisher puts messages on streams, and counts. It is for one goroutine. The
// contexts of its methods end when NATS takes nothing at all.
type Publisher struct {
	Tally

	Config

	underway []pending // the oldest first
	away     time.Time // since when NATS takes nothing, or zero
	outages  int
	refused  map[string]int // by what NATS says
	ended    error          // why no more is sent
}

// pending is a message that NATS has not acknowledged yet.
type pending struct {
	Message

	future jetstream.PubAckFuture
	sent   time.Time
}

// New returns a publisher.
func New(cfg Config) *Publisher { return &Publisher{Config: cfg, refused: make(map[string]int)} }

// Publish sends a message, or waits until it can. An error says why no more is
// sent.
func (p *Publisher) Publish(ctx context.Context, m Message) error {
	if len(p.underway) == atOnce {
		p.ended = p.settleOldest(ctx)
	} else if p.ended == nil {
		p.ended = p.stopped(ctx)
	}
	if p.ended != nil {
		p.fail(m, p.ended)
		return p.ended
	}
	p.ended = p.send(ctx, m)
	return p.ended
}

// Finish waits until the fate of all messages is known. What NATS does not
// acknowledge is sent again, unless no more is sent: then the error says why.
func (p *Publisher) Finish(ctx context.Context) error {
	for len(p.underway) > 0 && p.ended == nil {
		p.ended = p.settleOldest(ctx)
	}
	for _, m := range p.underway {
		p.settle(m, p.outcome(ctx, m))
	}
	p.underway = nil
	return p.ended
}

// Refusals lists what NATS has said of messages that it refused, and how often.
func (p *Publisher) Refusals() (lines []string) {
	for _, text := range slices.Sorted(maps.Keys(p.refused)) {
		lines = append(lines, fmt.Sprintf("%s refused by NATS: %s", terminal.Count(p.refused[text], "message"), text))
	}
	return lines
}

func (p *Publisher) send(ctx context.Context, m Message) error {
	for {
		future, err := p.NATS.PublishMsgAsync(m.Msg)
		switch {
		case err == nil:
			p.underway = append(p.underway, pending{m, future, time.Now()})
			return nil
		case errors.Is(err, nats.ErrMaxPayload), errors.Is(err, nats.ErrBadSubject):
			p.fail(m, err)
			return nil
		}
		// Anything else is about the connection, of which errors tell in many ways.
		if err := p.awaitNATS(ctx, err); err != nil {
			p.fail(m, err)
			return err
		}
	}
}

func (p *Publisher) settleOldest(ctx context.Context) error {
	oldest := p.underway[0]
	p.underway = p.underway[1:]
	err := p.outcome(ctx, oldest)
	if p.passes(err) {
		return p.sendAgain(ctx, oldest, err)
	}
	p.settle(oldest, err)
	switch {
	case errors.Is(err, jetstream.ErrNoStreamResponse):
		return ErrNoStream
	case err == nil && !p.away.IsZero() && oldest.sent.After(p.away):
		p.sayBack()
	}
	return p.stopped(ctx)
}

// sendAgain sends a message again that NATS has not acknowledged, and those
// after it, once NATS takes messages.
func (p *Publisher) sendAgain(ctx context.Context, oldest pending, why error) error {
	again := []Message{oldest.Message}
	for _, m := range p.underway {
		if err := p.outcome(ctx, m); p.passes(err) {
			again = append(again, m.Message)
		} else {
			p.settle(m, err)
		}
	}
	p.underway = nil
	err := p.awaitNATS(ctx, why)
	for _, m := range again {
		if err != nil {
			p.fail(m, err)
			continue
		}
		p.Again++
		err = p.send(ctx, m)
	}
	return err
}

// outcome waits for what NATS says of a message.
func (p *Publisher) outcome(ctx context.Context, m pending) error {
	select {
	case ack := <-m.future.Ok():
		m.Span.End(ack.Sequence, nil)
		return nil
	case err := <-m.future.Err():
		return err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// passes reports whether a message may be taken when it is sent again.
func (p *Publisher) passes(err error) bool {
	for _, passing := range []error{
		nats.ErrDisconnected, nats.ErrReconnectBufExceeded, nats.ErrConnectionReconnecting,
		nats.ErrTimeout, jetstream.ErrAsyncPublishTimeout,
	} {
		if errors.Is(err, passing) {
			return true
		}
	}
	// After a restart, NATS is there before its streams are.
	return errors.Is(err, jetstream.ErrNoStreamResponse) && p.Published > 0
}

// settle notes what has become of a message.
func (p *Publisher) settle(m pending, err error) {
	if err != nil {
		p.fail(m.Message, err)
		return
	}
	p.Published++
	p.Events += m.Events
}

func (p *Publisher) sayBack() {
	if p.outages <= fewOutages {
		p.Say("NATS takes messages again, after " + time.Since(p.away).Round(100*time.Millisecond).String())
	}
	p.away = time.Time{}
}

// Bounds of what is said at once.
const (
	fewOutages = 5
	fewErrors  = 5 // that differ
)

// fail notes a message that is not published. What concerns all of them is told
// by whoever is told to stop.
func (p *Publisher) fail(m Message, err error) {
	m.Span.End(0, err)
	p.Failed++
	if p.First == 0 || m.Number < p.First {
		p.First = m.Number
	}
	if p.passes(err) || isOfAll(err) {
		return
	}
	text := err.Error()
	if p.refused[text] > 0 || len(p.refused) < fewErrors {
		p.refused[text]++
	}
	if p.refused[text] == 1 {
		p.Say(m.Place + ": not published: " + text)
	}
}

// isOfAll reports whether an error is none of the message's own.
func isOfAll(err error) bool {
	_, denied := errors.AsType[*rights.DeniedError](err)
	return denied || errors.Is(err, jetstream.ErrNoStreamResponse) || errors.Is(err, ErrInterrupted) ||
		errors.Is(err, ErrAway) || errors.Is(err, context.Canceled)
}

// stopped returns why it is of no use to go on, or nil.
func (p *Publisher) stopped(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-p.Interrupted:
		return ErrInterrupted
	default:
		return nil
	}
}

// awaitNATS waits a moment, and then until NATS is connected.
func (p *Publisher) awaitNATS(ctx context.Context, why error) error {
	if p.away.IsZero() {
		p.away = time.Now()
		if p.outages++; p.outages <= fewOutages {
			p.Say(fmt.Sprintf("NATS takes no messages (%v): waiting for it, %s at most", why, p.Patience))
		}
	}
	const pause = 250 * time.Millisecond
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-p.Interrupted:
			return ErrInterrupted
		case <-time.After(pause):
		}
		if time.Since(p.away) > p.Patience {
			return fmt.Errorf("%w: %w", ErrAway, why)
		}
		if p.NATS.Conn().IsConnected() {
			return nil
		}
	}
}
