package config

import (
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"

	"go.uber.org/zap/zapcore"

	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/streams"
	"github.com/capi-dispatcher/capi-dispatcher/graph/event"
	"github.com/capi-dispatcher/capi-dispatcher/internal/secret"
)

// Validate reports every setting that cannot work, each with its key. It looks
// at the settings only: whether the files they name can be read is found out by
// those who read them.
func (c *Config) Validate() []error {
	var all []error
	for section, err := range map[string]error{
		"nats": errors.Join(c.NATS.validate(), c.NATS.Validate()), "redis": c.Redis.validate(),
		"dedupe": c.Dedupe.validate(), "batch": c.Batch.Validate(), "delivery": c.Delivery.Validate(),
		"graph": c.Graph.validate(), "datasets": c.Datasets.Validate(), "assets": c.Assets.Validate(),
		"attribution": c.Attribution.Validate(), "webhooks": c.Webhooks.validate(),
		"metrics": c.Metrics.Validate(), "admin": c.Admin.validate(), "log": c.Log.validate(),
	} {
		for _, fault := range flatten(err) {
			all = append(all, fmt.Errorf("%s.%w", section, fault))
		}
	}
	return sorted(append(all, c.validateTogether()...))
}

// validateTogether reports what is wrong between the parts.
func (c *Config) validateTogether() (all []error) {
	if most := event.MaxEvents; c.Batch.MaxEvents > most {
		all = append(all, fmt.Errorf("batch.max_events: %d is not between 1 and the %d that Meta takes in a request", c.Batch.MaxEvents, most))
	}
	if c.NATS.AckWait < 2*c.Graph.Timeout {
		all = append(all, fmt.Errorf("nats.ack_wait: %s is less than twice graph.timeout (%s): a message could go to another worker while it is being sent",
			c.NATS.AckWait, c.Graph.Timeout))
	}
	if least := 3 * c.NATS.AckWait; c.Dedupe.Takeover < least {
		all = append(all, fmt.Errorf("dedupe.takeover: %s is less than three times nats.ack_wait (%s): events could be taken over that are being sent",
			c.Dedupe.Takeover, c.NATS.AckWait))
	}
	return append(all, c.validateSubjects()...)
}

// validateSubjects reports streams that would take each other's messages.
func (c *Config) validateSubjects() (all []error) {
	subjects := map[string]string{
		"attribution.subject": c.Attribution.Subject, "attribution.queue_subject": c.Attribution.QueueSubject,
		"nats.subject": c.NATS.Subject, "nats.parked_subject": c.NATS.ParkedSubject,
		"nats.dead_letter_subject": c.NATS.DeadLetterSubject,
	}
	for _, key := range []string{"attribution.subject", "attribution.queue_subject"} {
		for other, subject := range subjects {
			if key != other && (within(subjects[key], subject) || within(subject, subjects[key])) {
				all = append(all, fmt.Errorf("%s: %q and %s %q lie within each other", key, subjects[key], other, subject))
			}
		}
	}
	return all
}

func within(subject, prefix string) bool { return strings.HasPrefix(subject+".", prefix+".") }

func (w *Webhooks) validate() error {
	var faults []error
	if _, _, err := net.SplitHostPort(w.Address); err != nil {
		faults = append(faults, fmt.Errorf("address: %q is not host:port, or :port", w.Address))
	}
	if (w.TLS.CertFile == "") != (w.TLS.KeyFile == "") {
		faults = append(faults, errors.New("tls.cert_file, tls.key_file: one needs the other"))
	}
	if (w.VerifyTokenFile == "") != (len(w.AppSecretFiles) == 0) {
		faults = append(faults, errors.New("verify_token_file, app_secret_files: one needs the other"))
	}
	return errors.Join(faults...)
}

// sorted orders faults by their keys.
func sorted(faults []error) []error {
	slices.SortFunc(faults, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
	return faults
}

// flatten takes joined errors apart.
func flatten(err error) (all []error) {
	if err == nil {
		return nil
	}
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		return []error{err}
	}
	for _, e := range joined.Unwrap() {
		all = append(all, flatten(e)...)
	}
	return all
}

func (n *NATS) validate() error {
	faults := []error{
		addresses(n.URL, "nats://", "tls://", "ws://", "wss://"),
		n.TLS.validate(),
	}
	if !streams.IsSubject(n.InboxPrefix) {
		faults = append(faults, fmt.Errorf("inbox_prefix: %q is not a subject of words joined by dots, without wildcards", n.InboxPrefix))
	}
	if ways := count(n.CredsFile != "", n.NKeySeedFile != "", n.User != "", n.TokenFile != ""); ways > 1 {
		faults = append(faults, errors.New("creds_file, nkey_seed_file, user, token_file: choose one way to log in"))
	}
	if (n.User == "") != (n.PasswordFile == "") {
		faults = append(faults, errors.New("user, password_file: one needs the other"))
	}
	return errors.Join(faults...)
}

func (r *Redis) validate() error {
	faults := []error{
		addresses(r.URL, "redis://", "rediss://"),
		r.TLS.validate(),
	}
	switch r.Mode {
	case Single:
		if len(r.URL.List()) > 1 {
			faults = append(faults, errors.New("url: names several servers; set redis.mode to sentinel or cluster"))
		}
	case Sentinel:
		if r.SentinelMaster == "" {
			faults = append(faults, errors.New("sentinel_master: is empty; name the master that the sentinels watch"))
		}
	case Cluster:
	default:
		faults = append(faults, fmt.Errorf("mode: %q is neither single, sentinel nor cluster", r.Mode))
	}
	return errors.Join(faults...)
}

func (t *TLS) validate() error {
	if (t.CertFile == "") != (t.KeyFile == "") {
		return errors.New("tls.cert_file, tls.key_file: one needs the other")
	}
	return nil
}

func (d *Dedupe) validate() error {
	faults := []error{d.Validate()}
	if err := d.Key.Validate(); err != nil {
		faults = append(faults, fmt.Errorf("key: %w", err))
	}
	return errors.Join(faults...)
}

func (a *Admin) validate() error {
	if _, _, err := net.SplitHostPort(a.Address); err != nil {
		return fmt.Errorf("address: %q is not of the form host:port", a.Address)
	}
	return nil
}

func (l *Log) validate() error {
	var faults []error
	if _, err := zapcore.ParseLevel(l.Level); err != nil {
		faults = append(faults, fmt.Errorf("level: %q is neither debug, info, warn nor error", l.Level))
	}
	if l.Format != JSON && l.Format != Console {
		faults = append(faults, fmt.Errorf("format: %q is neither json nor console", l.Format))
	}
	return errors.Join(faults...)
}

func addresses(urls secret.URLs, schemes ...string) error {
	list := urls.List()
	if len(list) == 0 {
		return errors.New("url: is empty")
	}
	for _, address := range list {
		known := false
		for _, scheme := range schemes {
			known = known || strings.HasPrefix(address, scheme)
		}
		if !known {
			return fmt.Errorf("url: %s does not begin with %s", secret.URLs(address), strings.Join(schemes, " or "))
		}
	}
	if err := urls.Validate(); err != nil {
		return fmt.Errorf("url: %w", err)
	}
	return nil
}

func count(conditions ...bool) (n int) {
	for _, c := range conditions {
		if c {
			n++
		}
	}
	return n
}
