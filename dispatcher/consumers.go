package dispatcher

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/nats-io/nats.go/jetstream"
)

// consumer creates, updates or verifies one of the two consumers.
// Where workers with other settings use it, the error is an [OtherSettingsError],
// unless we take it over.
func (s *StreamSet) consumer(ctx context.Context, stream jetstream.Stream, parked bool) (_ jetstream.Consumer, err error) {
	want, name := s.consumerConfig(parked), stream.CachedInfo().Config.Name
	if s.cfg.Manage {
		if err := s.dropMisled(ctx, stream, want); err != nil {
			return nil, err
		}
		want.Metadata, err = s.agree(ctx, stream, want.Durable)
		if err != nil {
			return nil, err
		}
		consumer, err := stream.CreateOrUpdateConsumer(ctx, want)
		return consumer, wrapSetup(err, "consumer %s on stream %s cannot be created", want.Durable, name)
	}
	consumer, err := stream.Consumer(ctx, want.Durable)
	if errors.Is(err, jetstream.ErrConsumerNotFound) {
		return nil, setupError("consumer %s does not exist on stream %s; create it, or set nats.manage to true", want.Durable, name)
	}
	if err != nil {
		return nil, fmt.Errorf("consumer %s on stream %s: %w", want.Durable, name, err)
	}
	if err := s.checkConsumer(consumer.CachedInfo(), want); err != nil {
		return nil, err
	}
	if !s.agrees(consumer.CachedInfo().Config) {
		return nil, &OtherSettingsError{Ours: s.agreement(), consumer: consumer}
	}
	return consumer, nil
}

// agree returns the metadata that the consumer is to have, if all agree on it.
func (s *StreamSet) agree(ctx context.Context, stream jetstream.Stream, durable string) (map[string]string, error) {
	consumer, err := stream.Consumer(ctx, durable)
	switch {
	case errors.Is(err, jetstream.ErrConsumerNotFound), errors.Is(err, jetstream.ErrNotPullConsumer):
		return s.metadata(jetstream.ConsumerConfig{}), nil
	case err != nil:
		return nil, fmt.Errorf("consumer %s on stream %s: %w", durable, stream.CachedInfo().Config.Name, err)
	case !s.takeOver && !s.agrees(consumer.CachedInfo().Config):
		return nil, &OtherSettingsError{Ours: s.agreement(), consumer: consumer}
	default:
		return s.metadata(consumer.CachedInfo().Config), nil
	}
}

// dropMisled deletes a consumer that looks at other subjects than it should. It
// has passed over events that it would not go back to if its filter were only
// corrected; a new one begins at the beginning, and Redis knows what was sent.
func (s *StreamSet) dropMisled(ctx context.Context, stream jetstream.Stream, want jetstream.ConsumerConfig) error {
	consumer, err := stream.Consumer(ctx, want.Durable)
	if errors.Is(err, jetstream.ErrConsumerNotFound) {
		return nil
	}
	name := stream.CachedInfo().Config.Name
	if err != nil {
		return fmt.Errorf("consumer %s on stream %s: %w", want.Durable, name, err)
	}
	have := consumer.CachedInfo().Config
	if have.FilterSubject == want.FilterSubject {
		return nil
	}
	s.warn(fmt.Sprintf("consumer %s on stream %s looks at %q and not at %q; it is made anew and begins at the beginning",
		want.Durable, name, append(have.FilterSubjects, have.FilterSubject), want.FilterSubject))
	err = stream.DeleteConsumer(ctx, want.Durable)
	if errors.Is(err, jetstream.ErrConsumerNotFound) {
		err = nil // another worker was faster
	}
	return wrapSetup(err, "consumer %s on stream %s cannot be deleted", want.Durable, name)
}

// consumerConfig is what the protocol needs. There is no limit on deliveries,
// which would strand messages for good, and no server-side backoff, which would
// stretch our own delays.
func (s *StreamSet) consumerConfig(parked bool) jetstream.ConsumerConfig {
	filter := s.cfg.Subject + ".>"
	if parked {
		filter = s.cfg.ParkedSubject + ".due.>"
	}
	return jetstream.ConsumerConfig{
		Durable: s.cfg.Consumer, Description: "workers of capi-dispatcher",
		FilterSubject: filter,
		AckPolicy:     jetstream.AckExplicitPolicy,
		AckWait:       s.cfg.AckWait,
		MaxDeliver:    -1,
		MaxAckPending: s.cfg.MaxAckPending,
	}
}

// suits tells whether a consumer is still as it has to be; as we make it, if we
// do.
func (s *StreamSet) suits(info *jetstream.ConsumerInfo, parked bool) bool {
	have, want := info.Config, s.consumerConfig(parked)
	suits := have.AckPolicy == want.AckPolicy && have.AckWait == want.AckWait && have.DeliverSubject == "" && have.MaxDeliver <= 0
	if !s.cfg.Manage {
		return suits && s.agrees(have)
	}
	return suits && have.Metadata[agreementKey] == s.agreement() && have.FilterSubject == want.FilterSubject && len(have.BackOff) == 0 && have.MaxAckPending == want.MaxAckPending
}

// checkConsumer verifies a consumer that somebody else has made.
func (s *StreamSet) checkConsumer(info *jetstream.ConsumerInfo, want jetstream.ConsumerConfig) error {
	have, where := info.Config, fmt.Sprintf("consumer %s on stream %s", info.Name, info.Stream)
	switch {
	case have.AckPolicy != jetstream.AckExplicitPolicy:
		return setupError("%s does not ask for explicit acknowledgements", where)
	case have.AckWait != s.cfg.AckWait:
		return setupError("%s has an AckWait of %s; set nats.ack_wait to the same (it is %s)", where, have.AckWait, s.cfg.AckWait)
	case have.DeliverSubject != "":
		return setupError("%s is a push consumer; a pull consumer is needed", where)
	case have.MaxDeliver > 0:
		return setupError("%s gives up after %d deliveries, and what is parked or held longer would be stranded in the stream; set max deliver to -1",
			where, have.MaxDeliver)
	case !s.takesWhatItShould(filters(have), want.FilterSubject):
		return setupError("%s has the filter %q; set it to %s", where, filters(have), want.FilterSubject)
	}
	if len(have.BackOff) > 0 {
		s.warn(where + " has a backoff of its own, which stretches the dispatcher's delays; remove it")
	}
	return nil
}

func filters(c jetstream.ConsumerConfig) []string {
	if c.FilterSubject != "" {
		return []string{c.FilterSubject}
	}
	return c.FilterSubjects
}

// takesWhatItShould tells whether a consumer gets all that is meant for it. The
// one of parked events must get nothing else: the rest of their stream are
// events whose time has not come.
func (s *StreamSet) takesWhatItShould(have []string, wanted string) bool {
	if wanted != s.cfg.Subject+".>" {
		return slices.Equal(have, []string{wanted})
	}
	return len(have) == 0 || coversAll(have, wanted)
}
