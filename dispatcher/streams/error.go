package streams

import (
	"errors"
	"fmt"
	"net/http"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// SetupError says what in NATS is not as it has to be, and what to do.
type SetupError struct{ Problem string }

func (e *SetupError) Error() string { return e.Problem }

func setupError(format string, args ...any) error {
	return &SetupError{Problem: fmt.Sprintf(format, args...)}
}

// wrapSetup makes an error of the server's a [SetupError] if the server did
// answer: trying again would not help.
func wrapSetup(err error, format string, args ...any) error {
	if err == nil {
		return nil
	}
	var answered jetstream.JetStreamError
	text := fmt.Sprintf(format, args...)
	if errors.As(err, &answered) && answered.APIError() != nil &&
		answered.APIError().Code != http.StatusServiceUnavailable {
		return setupError("%s: %v", text, err)
	}
	return fmt.Errorf("%s: %w", text, err)
}

// InWords puts errors of NATS' client that say little into words that say what to
// do. They stay what they are to [errors.Is].
func InWords(err error) error {
	switch {
	case errors.Is(err, nats.ErrReconnectBufExceeded):
		return &saidError{"not connected to NATS", err} // the client's words are about its buffer
	case errors.Is(err, nats.ErrNoResponders):
		return &saidError{"JetStream does not answer: start nats-server with -js, or with jetstream in its configuration; " +
			"if it has, check nats.domain", err}
	case errors.Is(err, jetstream.ErrJetStreamNotEnabled), errors.Is(err, jetstream.ErrJetStreamNotEnabledForAccount):
		return &saidError{"the account has no JetStream: give it limits in the configuration of NATS", err}
	default:
		return err
	}
}

// saidError is an error in other words.
type saidError struct {
	words string
	error
}

func (e *saidError) Error() string { return e.words }

func (e *saidError) Unwrap() error { return e.error }
