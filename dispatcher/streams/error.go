package streams

import (
	"errors"
	"fmt"
	"net/http"

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
