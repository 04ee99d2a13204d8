package outlet

import (
	"errors"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/rights"
)

// isTooLarge reports whether a message was refused for its size, or that of its
// headers: by the client, by the server, or because of the stream's own limit.
func isTooLarge(err error) bool {
	const messageTooLarge, headersTooLarge = 10054, 10097 // nats-server's error codes
	if answered, ok := errors.AsType[*jetstream.APIError](err); ok {
		return answered.ErrorCode == messageTooLarge || answered.ErrorCode == headersTooLarge
	}
	return errors.Is(err, nats.ErrMaxPayload)
}

// errNoAcknowledgement says that JetStream has not answered in time.
var errNoAcknowledgement = errors.New("no acknowledgement from JetStream")

// isMissing reports whether a message had no subscriber: there is no such
// stream, or its server is away.
func isMissing(err error) bool {
	return errors.Is(err, jetstream.ErrNoStreamResponse) || errors.Is(err, nats.ErrNoResponders)
}

// isSilence reports whether a message got no answer from its stream. Each takes
// its time.
func isSilence(err error) bool {
	_, denied := errors.AsType[*rights.DeniedError](err)
	return denied || isMissing(err) || errors.Is(err, errNoAcknowledgement) ||
		errors.Is(err, jetstream.ErrAsyncPublishTimeout)
}
