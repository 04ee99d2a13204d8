package streams

import (
	"fmt"
	"maps"
	"strings"

	"github.com/nats-io/nats.go/jetstream"
)

// agreementKey is where a consumer's metadata say what workers have agreed on.
const agreementKey = "capi-dispatcher-settings"

// agreement is what all workers have to have set alike; "" where it is not known.
// It is stored, and compared with what workers of other versions have stored: the
// names in it do not change, whatever the settings are called.
type agreement string

func (s *Set) agreement() agreement {
	if s.identity == "" {
		return ""
	}
	return agreement(fmt.Sprintf("nats.ack_wait=%s nats.max_ack_pending=%d dedupe.key=%s", s.cfg.AckWait,
		s.cfg.MaxAckPending, s.identity))
}

// matches reports whether a consumer is used with our settings, as far as it says.
func (ours agreement) matches(have jetstream.ConsumerConfig) bool {
	theirs := agreement(have.Metadata[agreementKey])
	return theirs == "" || ours == "" || theirs == ours
}

// metadata returns what a consumer is to have: what others have written, and our
// settings.
func (ours agreement) metadata(have jetstream.ConsumerConfig) map[string]string {
	all := maps.Clone(have.Metadata)
	maps.DeleteFunc(all, func(key, _ string) bool { return strings.HasPrefix(key, "_nats.") }) // the server's own
	if ours != "" {
		if all == nil {
			all = make(map[string]string)
		}
		all[agreementKey] = string(ours)
	}
	return all
}

// OtherSettingsError says that a consumer is used with settings that are not ours.
type OtherSettingsError struct {
	Ours string

	consumer *jetstream.ConsumerInfo
}

func (s *Set) differs(consumer *jetstream.ConsumerInfo) error {
	return &OtherSettingsError{Ours: string(s.agreement()), consumer: consumer}
}

func (e *OtherSettingsError) Error() string {
	return fmt.Sprintf("workers with other settings use consumer %s on stream %s: they have %s, and ours are %s",
		e.consumer.Name, e.consumer.Stream, e.consumer.Config.Metadata[agreementKey], e.Ours)
}
