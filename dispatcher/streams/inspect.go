package streams

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/rights"
)

// Inspection is what is found of one stream, or of one consumer.
type Inspection struct {
	// Name is what it is: "stream CAPI", or "consumer x on stream CAPI".
	Name string
	// Stream and Consumer are as the server has them; nil if it has none.
	Stream   *jetstream.StreamInfo
	Consumer *jetstream.ConsumerInfo
	// Warnings name settings that work and may lose events.
	Warnings []string
	// Err is what keeps it from working: a [SetupError], or that the server
	// does not answer. Of what is missing it is nil.
	Err error
}

// Missing reports whether the server has no such stream or consumer.
func (i *Inspection) Missing() bool { return i.Err == nil && i.Stream == nil && i.Consumer == nil }

// Inspect looks at all streams and consumers and changes nothing, whatever
// [Config.Manage] says. watch reports a missing right at once.
func (s *Set) Inspect(ctx context.Context, watch *rights.Watch) (all []Inspection) {
	look := func(name string, inspect func(ctx context.Context, found *Inspection)) {
		found := Inspection{Name: name}
		found.Err = watch.Do(ctx, func(ctx context.Context) error {
			inspect(ctx, &found)
			return found.Err
		})
		all = append(all, found)
	}
	for _, want := range s.cfg.definitions() {
		look("stream "+want.Name, func(ctx context.Context, found *Inspection) { s.inspectStream(ctx, found, want) })
	}
	for _, role := range consumed() {
		name := fmt.Sprintf("consumer %s on stream %s", s.cfg.Consumer, s.cfg.Name(role))
		look(name, func(ctx context.Context, found *Inspection) { s.inspectConsumer(ctx, found, role) })
	}
	return all
}

func (s *Set) inspectStream(ctx context.Context, found *Inspection, want definition) {
	stream, err := s.js.Stream(ctx, want.Name)
	switch {
	case errors.Is(err, jetstream.ErrStreamNotFound):
	case err != nil:
		found.Err = err
	default:
		found.Stream = stream.CachedInfo()
		found.Warnings, found.Err = want.check(found.Stream.Config)
		if want.role == Parked {
			found.Warnings = append(found.Warnings, checkReading(ctx, stream)...)
		}
	}
}

// checkReading reads from the parked stream the way a worker does that calls
// its events back. A right that is missing shows as silence.
func checkReading(ctx context.Context, parked jetstream.Stream) (warnings []string) {
	const patience = 2 * time.Second
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	name := nameOfStream(parked)
	if !parked.CachedInfo().Config.AllowDirect {
		return []string{fmt.Sprintf("stream %s does not allow direct gets: parked events wait for their own time when a dataset has recovered; "+
			"run: nats stream edit %s --allow-direct", name, name)}
	}
	if _, err := parked.GetMsg(ctx, 1); err != nil && !errors.Is(err, jetstream.ErrMsgNotFound) {
		return []string{fmt.Sprintf("messages of stream %s cannot be read: parked events wait for their own time when a dataset has recovered; "+
			"does the NATS user have the right to publish $JS.API.DIRECT.GET.%s? (%v)", name, name, err)}
	}
	return nil
}

func (s *Set) inspectConsumer(ctx context.Context, found *Inspection, role Role) {
	consumer, err := s.js.Consumer(ctx, s.cfg.Name(role), s.cfg.Consumer)
	switch {
	case errors.Is(err, jetstream.ErrConsumerNotFound), errors.Is(err, jetstream.ErrStreamNotFound):
	case errors.Is(err, jetstream.ErrNotPullConsumer):
		found.Err = setupError("%s is a push consumer; a pull consumer is needed", found.Name)
	case err != nil:
		found.Err = err
	default:
		found.Consumer = consumer.CachedInfo()
		found.Warnings, found.Err = s.cfg.checkConsumer(found.Consumer, role)
		if !s.agreement().matches(found.Consumer.Config) {
			found.Warnings = append(found.Warnings,
				s.differs(found.Consumer).Error()+": workers with ours wait for theirs to go")
		}
	}
}
