package dispatcher

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/zap"
	"golang.org/x/mod/semver"

	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/retry"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/rights"
)

// openStreams creates or verifies all streams and consumers. While the server
// does not answer it waits; what a person has to mend is an error.
func (d *Dispatcher) openStreams(ctx context.Context) ([]*source, error) {
	var loop retry.Loop
	for {
		sources, err := d.tryOpenStreams(ctx)
		var setup *SetupError
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
		streams := d.streamSet()
		if err := streams.Ensure(ctx); err != nil {
			return err
		}
		events, err := d.openSource(ctx, false)
		if err != nil {
			return err
		}
		parked, err := d.openSource(ctx, true)
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
func (d *Dispatcher) openSource(ctx context.Context, parked bool) (*source, error) {
	if err := d.cfg.Delivery.CheckRoom(d.deps.JetStream.Conn()); err != nil {
		return nil, err
	}
	streams := d.streamSet()
	name, gate, pending, others := d.cfg.Streams.Stream, d.gates.events, &d.backlog.events, &d.others.events
	if parked {
		name, gate, pending, others = d.cfg.Streams.ParkedStream, d.gates.parked, &d.backlog.parked, &d.others.parked
	}
	asked := time.Now()
	stream, err := streams.open(ctx, name)
	if err != nil {
		return nil, err
	}
	d.clock.Observe(stream.CachedInfo().TimeStamp, time.Since(asked))
	consumer, err := streams.consumer(ctx, stream, parked)
	differ, waits := errors.AsType[*OtherSettingsError](err)
	if waits && d.cfg.Streams.Manage && others.gone(differ.consumer.CachedInfo(), time.Now()) {
		waits = false
		consumer, err = streams.takingOver().consumer(ctx, stream, parked)
	}
	switch {
	case waits:
		others.found(differ, d.log)
		gate.Open() // ready: in a rolling update the others stay until we are
	case err != nil:
		return nil, err
	case others.left():
		d.log.Info("the workers with other settings are gone", zap.String("stream", name))
	}
	return &source{
		waits: waits, stream: name, consumer: consumer, parked: parked, pending: pending, gate: gate, checked: time.Now(),
		epoch: d.epochs.Of(stream.CachedInfo()),
	}, nil
}

func (d *Dispatcher) streamSet() *StreamSet {
	return NewStreamSet(d.cfg.Streams, d.deps.JetStream, func(text string) { d.log.Warn(text) }).KeyedBy(d.cfg.Identity)
}

// SetupError says what in NATS is not as it has to be, and what to do.
type SetupError struct{ Problem string }

func (e *SetupError) Error() string { return e.Problem }

func setupError(format string, args ...any) error {
	return &SetupError{Problem: fmt.Sprintf(format, args...)}
}

// StreamSet is the streams and consumers that a dispatcher works with.
type StreamSet struct {
	cfg      Streams
	identity IdentityKind // "": not known
	takeOver bool         // consumers of workers with other settings
	js       jetstream.JetStream
	warn     func(text string)
}

// NewStreamSet returns the streams and consumers of a configuration. warn is
// told what works but may lose events.
func NewStreamSet(cfg Streams, js jetstream.JetStream, warn func(text string)) *StreamSet {
	return &StreamSet{cfg: cfg, js: js, warn: warn}
}

// KeyedBy returns the same set for workers with that dedupe.key, which the
// consumers are to say.
func (s *StreamSet) KeyedBy(identity IdentityKind) *StreamSet {
	keyed := *s
	keyed.identity = identity
	return &keyed
}

func (s *StreamSet) takingOver() *StreamSet {
	taking := *s
	taking.takeOver = true
	return &taking
}

// Ensure creates what is missing, or only verifies that all is there, as
// configured. A [SetupError] says what has to be mended.
func (s *StreamSet) Ensure(ctx context.Context) error {
	if err := s.CheckServer(); err != nil {
		return err
	}
	for _, want := range s.streams() {
		if err := s.ensureStream(ctx, want); err != nil {
			return err
		}
	}
	return nil
}

// EnsureConsumers creates or verifies the consumers, as configured.
func (s *StreamSet) EnsureConsumers(ctx context.Context) error {
	for name, parked := range map[string]bool{s.cfg.Stream: false, s.cfg.ParkedStream: true} {
		stream, err := s.js.Stream(ctx, name)
		if err != nil {
			return fmt.Errorf("stream %s: %w", name, err)
		}
		if err := s.ensureConsumer(ctx, stream, parked); err != nil {
			return err
		}
	}
	return nil
}

// ensureConsumer waits for workers with other settings that are about to go.
func (s *StreamSet) ensureConsumer(ctx context.Context, stream jetstream.Stream, parked bool) error {
	var others others
	begun := time.Now()
	for {
		_, err := s.consumer(ctx, stream, parked)
		differ, ok := errors.AsType[*OtherSettingsError](err)
		if !ok || !s.cfg.Manage {
			return err
		}
		info := differ.consumer.CachedInfo()
		if others.gone(info, time.Now()) {
			_, err := s.takingOver().consumer(ctx, stream, parked)
			return err
		}
		if time.Since(begun) > info.Config.AckWait+2*leastQuiet {
			return fmt.Errorf("%w; stop those workers first", err)
		}
		if retry.Wait(ctx, othersEvery) != nil {
			return err
		}
	}
}

// oldestServer schedules messages, which came with 2.12.0, and does not lock up
// when messages are read and written at once (nats-server #7458).
const oldestServer = "2.12.2"

// CheckServer asks for a server that is new enough.
func (s *StreamSet) CheckServer() error {
	version := s.js.Conn().ConnectedServerVersion()
	if number := "v" + version; semver.IsValid(number) && semver.Compare(number, "v"+oldestServer) < 0 {
		return setupError("the NATS server is %s; %s or newer is needed: parked events are messages that the server schedules, "+
			"and the first servers that could locked up when such messages were called back", version, oldestServer)
	}
	return nil
}

// leastWindow is the shortest memory of message ids that NATS allows. The
// events' stream has many producers and datasets, and one name space for all
// their ids; copies are recognised in Redis, in each dataset.
const leastWindow = 100 * time.Millisecond

// streams lists the streams as we would create them.
func (s *StreamSet) streams() []jetstream.StreamConfig {
	return []jetstream.StreamConfig{
		{
			Name: s.cfg.Stream, Subjects: []string{s.cfg.Subject + ".>"}, Replicas: s.cfg.Replicas,
			Description: "conversion events for Meta",
			Retention:   jetstream.LimitsPolicy, MaxAge: s.cfg.MaxAge, MaxBytes: limit(s.cfg.MaxBytes), Discard: jetstream.DiscardNew,
			Duplicates: leastWindow, AllowDirect: true,
		},
		{
			Name: s.cfg.ParkedStream, Subjects: []string{s.cfg.ParkedSubject + ".>"}, Replicas: s.cfg.Replicas,
			Description: "conversion events that wait for their time",
			// Schedules and discard new exclude each other (NATS 2.15). Without
			// limits nothing is ever discarded.
			Retention:  jetstream.WorkQueuePolicy,
			Duplicates: 2 * time.Minute, AllowDirect: true, AllowMsgSchedules: true,
		},
		{
			Name: s.cfg.DeadLetterStream, Subjects: []string{s.cfg.DeadLetterSubject + ".>"}, Replicas: s.cfg.Replicas,
			Description: "conversion events that Meta will not take, and why",
			Retention:   jetstream.LimitsPolicy, MaxAge: s.cfg.DeadLetterMaxAge, MaxBytes: limit(s.cfg.DeadLetterMaxBytes),
			// Full, it refuses: what is not stored is parked.
			Discard:    jetstream.DiscardNew,
			Duplicates: lettersDuplicates, AllowDirect: true,
		},
	}
}

// open finds a stream that was there before. If somebody has deleted it since,
// it is made anew, where that is ours to do.
func (s *StreamSet) open(ctx context.Context, name string) (jetstream.Stream, error) {
	stream, err := s.js.Stream(ctx, name)
	if errors.Is(err, jetstream.ErrStreamNotFound) && s.cfg.Manage {
		s.warn(fmt.Sprintf("stream %s has been deleted; it is made anew, and what was in it is gone", name))
		if err := s.Ensure(ctx); err != nil {
			return nil, err
		}
		stream, err = s.js.Stream(ctx, name)
	}
	if err != nil {
		return nil, fmt.Errorf("stream %s: %w", name, err)
	}
	return stream, nil
}

// ensureStream creates a stream that is missing. One that exists is used as it
// is, if it can be.
func (s *StreamSet) ensureStream(ctx context.Context, want jetstream.StreamConfig) error {
	stream, err := s.js.Stream(ctx, want.Name)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		if !s.cfg.Manage {
			return setupError("stream %s does not exist; create it, or set nats.manage to true", want.Name)
		}
		if _, err = s.js.CreateStream(ctx, want); errors.Is(err, jetstream.ErrStreamNameAlreadyInUse) {
			return s.ensureStream(ctx, want) // somebody else was faster
		}
		return wrapSetup(err, "stream %s%s cannot be created", want.Name, setAside(want.MaxBytes))
	}
	if err != nil {
		return fmt.Errorf("stream %s: %w", want.Name, err)
	}
	return s.checkStream(want, stream.CachedInfo().Config)
}

func (s *StreamSet) checkStream(want, have jetstream.StreamConfig) error {
	if err := checkFit(want, have); err != nil {
		return err
	}
	for _, risk := range s.risks(want, have) {
		s.warn(risk)
	}
	s.compareRetention(want, have)
	return nil
}

// wrapSetup makes an error of the server's a [SetupError] if the server did
// answer: trying again would not help.
func wrapSetup(err error, format string, args ...any) error {
	if err == nil {
		return nil
	}
	var answered jetstream.JetStreamError
	text := fmt.Sprintf(format, args...)
	if errors.As(err, &answered) && answered.APIError() != nil && answered.APIError().Code != http.StatusServiceUnavailable {
		return setupError("%s: %v", text, err)
	}
	return fmt.Errorf("%s: %w", text, err)
}

// coversAll tells whether one of the subjects includes every subject that the
// wanted one, which ends in >, does.
func coversAll(subjects []string, wanted string) bool {
	for _, subject := range subjects {
		if covers(strings.Split(subject, "."), strings.Split(wanted, ".")) {
			return true
		}
	}
	return false
}

func covers(subject, wanted []string) bool {
	for i, word := range wanted {
		switch {
		case i >= len(subject):
			return false
		case subject[i] == ">":
			return true
		case word == ">" || subject[i] != "*" && subject[i] != word:
			return false
		}
	}
	return len(subject) == len(wanted)
}
