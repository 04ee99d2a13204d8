package dispatcher

import (
	"fmt"
	"maps"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/zap"
	"golang.org/x/time/rate"

	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/health"
)

// Workers that share a consumer have to agree on what they reckon by: until when a
// message is theirs, and what tells one event from another. Nothing else would
// show that they do not, but events that are sent twice. So the consumer says what
// has been agreed on.

// agreementKey is where it does, in its metadata.
const agreementKey = "capi-dispatcher-settings"

// agreement is what all workers have to have set alike; "" where it is not known.
func (s *StreamSet) agreement() string {
	if s.identity == "" {
		return ""
	}
	return fmt.Sprintf("nats.ack_wait=%s nats.max_ack_pending=%d dedupe.key=%s", s.cfg.AckWait, s.cfg.MaxAckPending, s.identity)
}

// agrees reports whether a consumer is used with our settings, as far as it says.
func (s *StreamSet) agrees(have jetstream.ConsumerConfig) bool {
	theirs := have.Metadata[agreementKey]
	return theirs == "" || s.agreement() == "" || theirs == s.agreement()
}

// metadata is what a consumer is to have: what others have written, and our
// settings.
func (s *StreamSet) metadata(have jetstream.ConsumerConfig) map[string]string {
	all := maps.Clone(have.Metadata)
	maps.DeleteFunc(all, func(key, _ string) bool { return strings.HasPrefix(key, "_nats.") }) // the server's own
	if ours := s.agreement(); ours != "" {
		if all == nil {
			all = make(map[string]string)
		}
		all[agreementKey] = ours
	}
	return all
}

// OtherSettingsError says that a consumer is used with settings that are not ours.
type OtherSettingsError struct {
	Ours string

	consumer jetstream.Consumer
}

func (e *OtherSettingsError) Error() string {
	info := e.consumer.CachedInfo()
	return fmt.Sprintf("workers with other settings use consumer %s on stream %s: they have %s, and ours are %s",
		info.Name, info.Stream, info.Config.Metadata[agreementKey], e.Ours)
}

// others are the workers that use a consumer with other settings, as far as the
// server shows them.
type others struct {
	mu     sync.Mutex
	reason string // "" while there are none
	since  time.Time
	log    rate.Sometimes

	signs  signs
	looked time.Time
	quiet  time.Time // since when nothing has been seen of them
}

// signs are what changes while somebody uses a consumer.
type signs struct {
	delivered, acknowledged uint64
	inHand                  int
}

const (
	// othersEvery is how often others are looked for. Their pulls wait for about
	// that long when there is nothing to do.
	othersEvery = time.Second
	// leastQuiet is how long nothing may be seen of workers before they count as
	// gone: while Meta cannot be reached, they pull every five seconds.
	leastQuiet = 10 * time.Second
)

// gone reports whether the others have gone: nobody has pulled, and nothing has been
// delivered or acknowledged, for long enough. What they had in hand when they
// died has to be nobody's by then.
func (o *others) gone(info *jetstream.ConsumerInfo, now time.Time) bool {
	seen := signs{info.Delivered.Consumer, info.AckFloor.Consumer, info.NumAckPending}
	missed := now.Sub(o.looked) > 5*othersEvery // we were away ourselves
	if missed || info.NumWaiting > 0 || seen != o.signs {
		o.signs, o.quiet = seen, now
	}
	o.looked = now
	patience := leastQuiet
	if info.NumAckPending > 0 {
		patience = max(patience, info.Config.AckWait)
	}
	return now.Sub(o.quiet) >= patience
}

// found notes why we wait, and says so once a minute.
func (o *others) found(err *OtherSettingsError, log *zap.Logger) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.reason == "" {
		o.since = time.Now()
		o.log = rate.Sometimes{First: 1, Interval: time.Minute}
	}
	o.reason = err.Error()
	o.log.Do(func() {
		log.Warn("this worker takes no events until the workers with other settings are gone", zap.String("reason", o.reason))
	})
}

// left notes that we wait no longer, and reports whether we have.
func (o *others) left() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	waited := o.reason != ""
	o.reason = ""
	return waited
}

func (o *others) condition() health.Condition {
	o.mu.Lock()
	defer o.mu.Unlock()
	return health.Condition{Name: "workers", OK: o.reason == "", Warning: true, Reason: o.reason, Since: o.since}
}

// workersCondition says whether other workers have other settings. It is a
// warning: in a rolling update the old ones stay until the new ones are ready.
func (d *Dispatcher) workersCondition() health.Condition {
	if c := d.others.events.condition(); !c.OK {
		return c
	}
	return d.others.parked.condition()
}
