package dispatcher

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
	// Warnings tell what works and may lose events.
	Warnings []string
	// Err is what keeps it from working: a [SetupError], or that the server
	// does not answer. Of what is missing it is nil.
	Err error
}

// Missing tells that the server has no such stream or consumer.
func (i *Inspection) Missing() bool { return i.Err == nil && i.Stream == nil && i.Consumer == nil }

// Inspect looks at all streams and consumers and changes nothing, whatever
// [Streams.Manage] says. Of a right that is missing, watch tells at once.
func (s *StreamSet) Inspect(ctx context.Context, watch *rights.Watch) (all []Inspection) {
	look := func(name string, inspect func(ctx context.Context, found *Inspection)) {
		found := Inspection{Name: name}
		found.Err = watch.Do(ctx, func(ctx context.Context) error {
			inspect(ctx, &found)
			return found.Err
		})
		all = append(all, found)
	}
	for _, want := range s.streams() {
		look("stream "+want.Name, func(ctx context.Context, found *Inspection) { s.inspectStream(ctx, found, want) })
	}
	look(s.consumerName(s.cfg.Stream), func(ctx context.Context, found *Inspection) { s.inspectConsumer(ctx, found, false) })
	look(s.consumerName(s.cfg.ParkedStream), func(ctx context.Context, found *Inspection) { s.inspectConsumer(ctx, found, true) })
	return all
}

func (s *StreamSet) inspectStream(ctx context.Context, found *Inspection, want jetstream.StreamConfig) {
	stream, err := s.js.Stream(ctx, want.Name)
	switch {
	case errors.Is(err, jetstream.ErrStreamNotFound):
	case err != nil:
		found.Err = err
	default:
		found.Stream = stream.CachedInfo()
		found.Err = s.noting(found).checkStream(want, found.Stream.Config)
		if want.Name == s.cfg.ParkedStream {
			s.noting(found).checkReading(ctx, stream)
		}
	}
}

// checkReading reads from the parked stream the way a worker does that calls
// its events back. A right that is missing shows as silence.
func (s *StreamSet) checkReading(ctx context.Context, parked jetstream.Stream) {
	const patience = 2 * time.Second
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	name := parked.CachedInfo().Config.Name
	if !parked.CachedInfo().Config.AllowDirect {
		s.warn(fmt.Sprintf("stream %s does not allow direct gets: parked events wait for their own time when a dataset has recovered; "+
			"run: nats stream edit %s --allow-direct", name, name))
		return
	}
	if _, err := parked.GetMsg(ctx, 1); err != nil && !errors.Is(err, jetstream.ErrMsgNotFound) {
		s.warn(fmt.Sprintf("messages of stream %s cannot be read: parked events wait for their own time when a dataset has recovered; "+
			"does the NATS user have the right to publish $JS.API.DIRECT.GET.%s? (%v)", name, name, err))
	}
}

func (s *StreamSet) consumerName(stream string) string {
	return fmt.Sprintf("consumer %s on stream %s", s.cfg.Consumer, stream)
}

func (s *StreamSet) inspectConsumer(ctx context.Context, found *Inspection, parked bool) {
	stream := s.cfg.Stream
	if parked {
		stream = s.cfg.ParkedStream
	}
	consumer, err := s.js.Consumer(ctx, stream, s.cfg.Consumer)
	switch {
	case errors.Is(err, jetstream.ErrConsumerNotFound), errors.Is(err, jetstream.ErrStreamNotFound):
	case errors.Is(err, jetstream.ErrNotPullConsumer):
		found.Err = setupError("%s is a push consumer; a pull consumer is needed", found.Name)
	case err != nil:
		found.Err = err
	default:
		found.Consumer = consumer.CachedInfo()
		found.Err = s.noting(found).checkConsumer(found.Consumer, s.consumerConfig(parked))
		if !s.agrees(found.Consumer.Config) {
			found.Warnings = append(found.Warnings, (&OtherSettingsError{Ours: s.agreement(), consumer: consumer}).Error()+
				": workers with ours wait for theirs to go")
		}
	}
}

// noting is the same set, with its warnings going into the inspection.
func (s *StreamSet) noting(found *Inspection) *StreamSet {
	return NewStreamSet(s.cfg, s.js, func(text string) { found.Warnings = append(found.Warnings, text) })
}
