package attribution

import (
	"fmt"
	"time"

	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/attribution/clicks"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/streams"
	"github.com/capi-dispatcher/capi-dispatcher/internal/faults"
)

// Policy is what becomes of events of which no click or person was found.
type Policy string

// What becomes of events of which nothing was found.
const (
	DeadLetter  Policy = "dead_letter"
	SendWithout Policy = "send_without" // as events that have merely happened in a chat
	Skip        Policy = "skip"
)

// Detected is what becomes of conversions that Meta has detected by itself.
type Detected string

// What becomes of conversions that Meta has detected.
const (
	Off     Detected = "off"
	Publish Detected = "publish"
)

// Config says whether and how events are looked up.
type Config struct {
	Enabled bool   `yaml:"enabled"`
	KeyFile string `yaml:"key_file"`

	clicks.Config `yaml:",inline"`

	// MaxClickAge is how old a click may be at the time of the event; 0 leaves that
	// to Meta.
	MaxClickAge time.Duration `yaml:"max_click_age"`
	// Wait is how long an event waits for its webhook.
	Wait time.Duration `yaml:"wait"`
	// Unattributed is what becomes of events for which none came.
	Unattributed Policy `yaml:"unattributed"`
	// AutomaticEvents is what becomes of conversions that Meta has detected by
	// itself, and AutomaticEventsScale by what their value is divided.
	AutomaticEvents      Detected `yaml:"automatic_events"`
	AutomaticEventsScale int      `yaml:"automatic_events_scale"`
}

// DefaultConfig returns the settings a careful operator would leave alone.
func DefaultConfig() Config {
	return Config{
		Config: clicks.Config{
			Stream: "CAPI_CLICKS", Subject: "capi.clicks", Queue: "CAPI_WEBHOOKS", QueueSubject: "capi.webhooks",
			Keep: 28 * 24 * time.Hour,
		},
		Wait: 10 * time.Minute, Unattributed: DeadLetter, AutomaticEvents: Off,
	}
}

// Validate reports every setting that cannot work, joined.
func (c *Config) Validate() error {
	var found faults.List
	found.Check(!c.Enabled || c.KeyFile != "", "key_file", "is empty; people are known by aliases that take a key")
	for key, name := range map[string]string{"stream": c.Stream, "queue": c.Queue} {
		found.Check(streams.IsName(name), key, "%q is not the name of a stream", name)
	}
	for key, subject := range map[string]string{"subject": c.Subject, "queue_subject": c.QueueSubject} {
		found.Check(streams.IsSubject(subject), key, "%q is not a subject of words joined by dots, without wildcards",
			subject)
	}
	found.Check(c.Keep >= time.Hour, "keep", "%s is less than 1h", c.Keep)
	found.Check(c.MaxClickAge >= 0 && c.MaxClickAge <= c.Keep, "max_click_age", "%s is not between 0s and keep (%s)",
		c.MaxClickAge, c.Keep)
	found.Check(c.Wait >= 0 && c.Wait <= 24*time.Hour, "wait", "%s is not between 0s and 24h", c.Wait)
	found.Check(c.Unattributed == DeadLetter || c.Unattributed == SendWithout || c.Unattributed == Skip, "unattributed",
		"%q is neither %q, %q nor %q", c.Unattributed, DeadLetter, SendWithout, Skip)
	found.Check(c.AutomaticEvents == Off || c.AutomaticEvents == Publish, "automatic_events", "%q is neither %q nor %q",
		c.AutomaticEvents, Off, Publish)
	scaled := c.AutomaticEventsScale == 1 || c.AutomaticEventsScale == 1000
	found.Check(scaled || c.AutomaticEventsScale == 0 && c.AutomaticEvents == Off, "automatic_events_scale",
		"%d is neither 1 nor 1000: Meta's documents differ on whether a value is the price or 1000 times the price; look at one of yours",
		c.AutomaticEventsScale)
	return found.Join()
}

// NextLook returns how long an event that has waited for so long waits until it is
// looked up again. It is over when it has waited for as long as it may.
func (a *Attributor) NextLook(waited time.Duration) (wait time.Duration, over bool) {
	for _, at := range []time.Duration{5 * time.Second, 30 * time.Second, 2 * time.Minute} {
		if at > waited && at < a.cfg.Wait {
			return at - waited, false
		}
	}
	return a.cfg.Wait - waited, waited >= a.cfg.Wait
}

// Policy is what becomes of events of which no webhook has told.
func (a *Attributor) Policy() Policy { return a.cfg.Unattributed }

// Advice says to a person why nothing was found.
func (s *Search) Advice() string {
	switch {
	case s.Known():
		return "no webhook has told of that person for as long as the event may wait: there was no click on an ad, the ad is in " +
			"WhatsApp Status, or the webhook did not come here"
	case s.accounts == 0:
		return "no account of that dataset and channel under assets is the event's"
	case s.accounts > mostAccounts:
		return fmt.Sprintf("the dataset has %d accounts of that channel under assets, too many to look into all: name the account", s.accounts)
	default:
		return "the event says nothing that its person could be found by: name conversation_id, wa_id, phone or user_id in _capi, or hash ph"
	}
}
