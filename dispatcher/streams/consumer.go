package streams

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/retry"
)

// EnsureConsumers creates or verifies the consumers, as configured. It waits for
// workers with other settings that are about to go.
func (s *Set) EnsureConsumers(ctx context.Context) error {
	for _, role := range consumed() {
		stream, err := s.js.Stream(ctx, s.cfg.Name(role))
		if err != nil {
			return fmt.Errorf("stream %s: %w", s.cfg.Name(role), InWords(err))
		}
		if err := s.ensureConsumer(ctx, stream, role); err != nil {
			return err
		}
	}
	return nil
}

func (s *Set) ensureConsumer(ctx context.Context, stream jetstream.Stream, role Role) error {
	var others OtherWorkers
	var seen *OtherSettingsError
	begun := time.Now()
	for {
		_, err := s.Consumer(ctx, stream, role, &others)
		differ, ok := errors.AsType[*OtherSettingsError](err)
		switch {
		case err != nil && ctx.Err() != nil && seen != nil:
			return seen // what was waited for says more than that the time is over
		case !ok || !s.cfg.Manage:
			return err
		}
		seen = differ
		if time.Since(begun) > differ.consumer.Config.AckWait+2*leastQuiet {
			return fmt.Errorf("%w; stop those workers first", err)
		}
		if retry.Wait(ctx, LookEvery) != nil {
			return err
		}
	}
}

// Consumer creates, updates or verifies the consumer of a stream. Where workers
// with other settings use it, the error is an [OtherSettingsError], and others are
// looked at: once they have gone, the consumer is taken over, if it is ours to
// manage.
func (s *Set) Consumer(
	ctx context.Context, stream jetstream.Stream, role Role, others *OtherWorkers,
) (jetstream.Consumer, error) {
	if !s.cfg.Manage {
		return s.verified(ctx, stream, role)
	}
	consumer, err := s.managed(ctx, stream, role)
	if differ, waits := errors.AsType[*OtherSettingsError](err); waits && others.gone(differ.consumer) {
		taking := *s
		taking.takeOver = true
		return taking.managed(ctx, stream, role)
	}
	return consumer, err
}

// managed creates a consumer, or makes it what it should be.
func (s *Set) managed(ctx context.Context, stream jetstream.Stream, role Role) (jetstream.Consumer, error) {
	want := s.cfg.consumer(role)
	if err := s.dropMisled(ctx, stream, want); err != nil {
		return nil, err
	}
	have, err := s.agreedOn(ctx, stream, want.Durable)
	if err != nil {
		return nil, err
	}
	want.Metadata = s.agreement().metadata(have)
	consumer, err := stream.CreateOrUpdateConsumer(ctx, want)
	return consumer, wrapSetup(err, "%s cannot be created", nameOf(want.Durable, stream))
}

// agreedOn returns a consumer's settings, if all agree on them, or if it is taken
// over. Of one that is missing they are empty.
func (s *Set) agreedOn(
	ctx context.Context, stream jetstream.Stream, durable string,
) (none jetstream.ConsumerConfig, _ error) {
	consumer, err := stream.Consumer(ctx, durable)
	switch {
	case errors.Is(err, jetstream.ErrConsumerNotFound), errors.Is(err, jetstream.ErrNotPullConsumer):
		return none, nil
	case err != nil:
		return none, fmt.Errorf("%s: %w", nameOf(durable, stream), err)
	case !s.takeOver && !s.agreement().matches(consumer.CachedInfo().Config):
		return none, s.differs(consumer.CachedInfo())
	default:
		return consumer.CachedInfo().Config, nil
	}
}

// dropMisled deletes a consumer that looks at other subjects than it should. It
// has passed over events that it would not go back to if its filter were only
// corrected; a new one begins at the beginning, and Redis knows what was sent.
func (s *Set) dropMisled(ctx context.Context, stream jetstream.Stream, want jetstream.ConsumerConfig) error {
	consumer, err := stream.Consumer(ctx, want.Durable)
	if errors.Is(err, jetstream.ErrConsumerNotFound) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("%s: %w", nameOf(want.Durable, stream), err)
	}
	have := consumer.CachedInfo().Config
	if have.FilterSubject == want.FilterSubject {
		return nil
	}
	s.warn(fmt.Sprintf("%s looks at %q and not at %q; it is made anew and begins at the beginning",
		nameOf(want.Durable, stream), append(have.FilterSubjects, have.FilterSubject), want.FilterSubject))
	err = stream.DeleteConsumer(ctx, want.Durable)
	if errors.Is(err, jetstream.ErrConsumerNotFound) {
		err = nil // another worker was faster
	}
	return wrapSetup(err, "%s cannot be deleted", nameOf(want.Durable, stream))
}

// verified finds a consumer that the worker does not manage, and checks it.
func (s *Set) verified(ctx context.Context, stream jetstream.Stream, role Role) (jetstream.Consumer, error) {
	durable := s.cfg.Consumer
	consumer, err := stream.Consumer(ctx, durable)
	if errors.Is(err, jetstream.ErrConsumerNotFound) {
		return nil, setupError("consumer %s does not exist on stream %s; create it, or set %s to true",
			durable, nameOfStream(stream), s.cfg.Setting("manage"))
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", nameOf(durable, stream), err)
	}
	warnings, err := s.cfg.checkConsumer(consumer.CachedInfo(), role)
	if err != nil {
		return nil, err
	}
	for _, text := range warnings {
		s.warn(text)
	}
	if !s.agreement().matches(consumer.CachedInfo().Config) {
		return nil, s.differs(consumer.CachedInfo())
	}
	return consumer, nil
}

// Suits reports whether a consumer is still as it has to be; as we make it, if we
// do.
func (s *Set) Suits(info *jetstream.ConsumerInfo, role Role) bool {
	have, want := info.Config, s.cfg.consumer(role)
	suits := have.AckPolicy == want.AckPolicy && have.AckWait == want.AckWait &&
		have.DeliverSubject == "" && have.MaxDeliver <= 0
	if !s.cfg.Manage {
		return suits && s.agreement().matches(have)
	}
	return suits && have.Metadata[agreementKey] == string(s.agreement()) && have.FilterSubject == want.FilterSubject &&
		len(have.BackOff) == 0 && have.MaxAckPending == want.MaxAckPending
}

// checkConsumer checks a consumer that the worker does not manage. Warnings are
// settings that work but are not as they should be.
func (c Config) checkConsumer(info *jetstream.ConsumerInfo, role Role) (warnings []string, err error) {
	have, want, where := info.Config, c.consumer(role), fmt.Sprintf("consumer %s on stream %s", info.Name, info.Stream)
	switch {
	case have.AckPolicy != jetstream.AckExplicitPolicy:
		return nil, setupError("%s does not ask for explicit acknowledgements", where)
	case have.AckWait != c.AckWait:
		return nil, setupError("%s has an AckWait of %s; set %s to the same (it is %s)", where, have.AckWait,
			c.Setting("ack_wait"), c.AckWait)
	case have.DeliverSubject != "":
		return nil, setupError("%s is a push consumer; a pull consumer is needed", where)
	case have.MaxDeliver > 0:
		return nil, setupError("%s gives up after %d deliveries, and what is parked or held longer would be stranded in the stream; set max deliver to -1",
			where, have.MaxDeliver)
	case !takes(filters(have), want.FilterSubject, role):
		return nil, setupError("%s has the filter %q; set it to %s", where, filters(have), want.FilterSubject)
	}
	if len(have.BackOff) > 0 {
		warnings = append(warnings, where+" has a backoff of its own, which stretches the dispatcher's delays; remove it")
	}
	return warnings, nil
}

func filters(c jetstream.ConsumerConfig) []string {
	if c.FilterSubject != "" {
		return []string{c.FilterSubject}
	}
	return c.FilterSubjects
}

// takes reports whether a consumer gets all that is meant for it. The one of
// parked events must get nothing else: the rest of their stream are events whose
// time has not come.
func takes(have []string, wanted string, role Role) bool {
	if role == Parked {
		return slices.Equal(have, []string{wanted})
	}
	return len(have) == 0 || Covers(have, wanted)
}

func nameOfStream(stream jetstream.Stream) string { return stream.CachedInfo().Config.Name }

func nameOf(consumer string, stream jetstream.Stream) string {
	return fmt.Sprintf("consumer %s on stream %s", consumer, nameOfStream(stream))
}
