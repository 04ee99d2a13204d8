package streams

import (
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/zap"
	"golang.org/x/time/rate"

	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/health"
)

// OtherWorkers are those that use a consumer with other settings, as far as the
// server shows them. The zero value has seen none. Only the goroutine that
// opens the consumer calls [Set.Consumer] with it.
type OtherWorkers struct {
	mu     sync.Mutex
	reason string // "" while there are none
	since  time.Time
	log    rate.Sometimes

	signs  signs
	looked time.Time
	quiet  time.Time // since when nothing has been seen of them
}

// signs are the figures of a consumer that change while it is in use.
type signs struct {
	delivered, acknowledged uint64
	inFlight                int
}

const (
	// LookEvery is how often others are looked for. Their pulls wait for about
	// that long when there is nothing to do.
	LookEvery = time.Second
	// leastQuiet is how long nothing may be seen of workers before they count as
	// gone: while Meta cannot be reached, they pull every five seconds.
	leastQuiet = 10 * time.Second
)

// gone reports whether the others have gone: for long enough there was no pull,
// no delivery and no acknowledgement. The leases of what they had in flight
// have lapsed by then.
func (o *OtherWorkers) gone(info *jetstream.ConsumerInfo) bool {
	now := time.Now()
	seen := signs{info.Delivered.Consumer, info.AckFloor.Consumer, info.NumAckPending}
	missed := now.Sub(o.looked) > 5*LookEvery // we were away ourselves
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

// Found notes why we wait, and says so once a minute.
func (o *OtherWorkers) Found(err *OtherSettingsError, log *zap.Logger) {
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

// Left notes that we wait no longer, and reports whether we have.
func (o *OtherWorkers) Left() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	waited := o.reason != ""
	o.reason = ""
	return waited
}

// Condition says whether other workers have other settings. It is a warning: in a
// rolling update the old ones stay until the new ones are ready.
func (o *OtherWorkers) Condition() health.Condition {
	o.mu.Lock()
	defer o.mu.Unlock()
	return health.Condition{Name: "workers", OK: o.reason == "", Warning: true, Reason: o.reason, Since: o.since}
}
