package streams

import (
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/mod/semver"
)

// Set is the streams and consumers that workers share. Create it with [New].
type Set struct {
	cfg      Config
	identity string // "": not known
	takeOver bool   // consumers of workers with other settings
	js       jetstream.JetStream
	warn     func(text string)
}

// New returns the streams and consumers of a configuration. warn is told what
// works but may lose events.
func New(cfg Config, js jetstream.JetStream, warn func(text string)) *Set {
	return &Set{cfg: cfg, js: js, warn: warn}
}

// KeyedBy returns the same set for workers that tell events apart by that
// identity, which the consumers are to say.
func (s *Set) KeyedBy(identity string) *Set {
	keyed := *s
	keyed.identity = identity
	return &keyed
}

// Ensure creates the streams that are missing, or only verifies that all are
// there, as configured. A [SetupError] says what has to be mended.
func (s *Set) Ensure(ctx context.Context) error {
	if err := s.CheckServer(); err != nil {
		return err
	}
	for _, want := range s.cfg.definitions() {
		if err := s.ensureStream(ctx, want); err != nil {
			return err
		}
	}
	return nil
}

// oldestServer schedules messages, which came with 2.12.0, and does not lock up
// when messages are read and written at once (nats-server #7458).
const oldestServer = "2.12.2"

// CheckServer asks for a server that is new enough.
func (s *Set) CheckServer() error {
	version := s.js.Conn().ConnectedServerVersion()
	if number := "v" + version; semver.IsValid(number) && semver.Compare(number, "v"+oldestServer) < 0 {
		return setupError("the NATS server is %s; %s or newer is needed: parked events are messages that the server schedules, "+
			"and the first servers that could locked up when such messages were called back", version, oldestServer)
	}
	return nil
}

// Open finds a stream that was there before. If it has been deleted since, it
// is made anew where [Config.Manage] says so.
func (s *Set) Open(ctx context.Context, name string) (jetstream.Stream, error) {
	stream, err := s.js.Stream(ctx, name)
	if errors.Is(err, jetstream.ErrStreamNotFound) && s.cfg.Manage {
		s.warn(fmt.Sprintf("stream %s has been deleted; it is made anew, and what was in it is gone", name))
		if err := s.Ensure(ctx); err != nil {
			return nil, err
		}
		stream, err = s.js.Stream(ctx, name)
	}
	if err != nil {
		return nil, fmt.Errorf("stream %s: %w", name, InWords(err))
	}
	return stream, nil
}

// ensureStream creates a stream that is missing. One that exists is used as it
// is, if it can be.
func (s *Set) ensureStream(ctx context.Context, want definition) error {
	stream, err := s.js.Stream(ctx, want.Name)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		if !s.cfg.Manage {
			return setupError("stream %s does not exist; create it, or set %s to true", want.Name, s.cfg.Setting("manage"))
		}
		if _, err = s.js.CreateStream(ctx, want.StreamConfig); errors.Is(err, jetstream.ErrStreamNameAlreadyInUse) {
			return s.ensureStream(ctx, want) // another worker was faster
		}
		return wrapSetup(err, "stream %s%s cannot be created", want.Name, want.setAside())
	}
	if err != nil {
		return fmt.Errorf("stream %s: %w", want.Name, InWords(err))
	}
	warnings, err := want.check(stream.CachedInfo().Config)
	for _, text := range warnings {
		s.warn(text)
	}
	return err
}
