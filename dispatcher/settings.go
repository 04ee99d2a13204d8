package dispatcher

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/zap"

	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/health"
	"github.com/capi-dispatcher/capi-dispatcher/graph/event"
)

// checkFit makes sure that a stream can be used at all.
func checkFit(want, have jetstream.StreamConfig) error {
	if !coversAll(have.Subjects, want.Subjects[0]) {
		return setupError("stream %s has the subjects %q, which do not include %q", want.Name, have.Subjects, want.Subjects[0])
	}
	if want.AllowMsgSchedules && !have.AllowMsgSchedules {
		return setupError("stream %s does not allow message schedules; run: nats stream edit %s --allow-schedules", want.Name, want.Name)
	}
	return nil
}

// risks lists what a stream's settings may cost: what works, but may lose
// events or refuse them.
func (s *StreamSet) risks(want, have jetstream.StreamConfig) (risks []string) {
	risk := func(format string, args ...any) { risks = append(risks, fmt.Sprintf(format, args...)) }
	if have.Storage == jetstream.MemoryStorage {
		risk("stream %s is kept in memory: a restart of NATS loses what is in it", want.Name)
	}
	if want.Name != s.cfg.DeadLetterStream && have.MaxAge != 0 && have.MaxAge < event.MaxAge {
		risk("stream %s keeps messages for %s only: Meta takes events for 7 days, and older ones vanish before they are sent", want.Name, have.MaxAge)
	}
	if want.Name == s.cfg.Stream && have.Duplicates > leastWindow {
		risk("stream %s remembers each Nats-Msg-Id for %s, in one name space for all datasets: an event is dropped, with success to its producer, "+
			"if another dataset's had the same id; copies are recognised without it; run: nats stream edit %s --dupe-window %s",
			want.Name, have.Duplicates, want.Name, leastWindow)
	}
	if forgets(have) {
		risk("stream %s discards its oldest messages when it is full: a backlog loses events; use discard new", want.Name)
	}
	if have.MaxMsgs > 0 && have.Discard == jetstream.DiscardNew {
		risk("stream %s takes %d messages at most, whether they are done with or not, and refuses more: nobody makes room, as with a limit in bytes; "+
			"run: nats stream edit %s --max-msgs=-1", want.Name, have.MaxMsgs, want.Name)
	}
	return risks
}

// forgets reports whether a stream discards messages to make room for others. A
// limit for each subject does, whatever is to be discarded, unless that is said
// for subjects, too.
func forgets(c jetstream.StreamConfig) bool {
	return c.Discard == jetstream.DiscardOld && (c.MaxMsgs > 0 || c.MaxBytes > 0) ||
		c.MaxMsgsPerSubject > 0 && !c.DiscardNewPerSubject
}

// settings are what the streams' settings are found to cost while the
// dispatcher runs: somebody may change them.
type settings struct {
	streams StreamSet
	log     *zap.Logger

	mu    sync.Mutex
	found map[string][]string // of each stream that has been looked at
	since time.Time
}

func newSettings(cfg Streams, log *zap.Logger) *settings {
	return &settings{streams: StreamSet{cfg: cfg}, log: log, found: make(map[string][]string), since: time.Now()}
}

// look judges a stream by what the server says of it, and says what is new. What
// was so at the start has been said then.
func (s *settings) look(info *jetstream.StreamInfo) {
	name, found := info.Config.Name, s.judge(info.Config)
	s.mu.Lock()
	before, looked := s.found[name]
	s.found[name] = found
	if looked && !slices.Equal(before, found) {
		s.since = time.Now()
	}
	s.mu.Unlock()
	for _, text := range found {
		if looked && !slices.Contains(before, text) {
			s.log.Warn("a stream's settings have been changed", zap.String("stream", name), zap.String("reason", text))
		}
	}
	if len(before) > 0 && len(found) == 0 {
		s.log.Info("a stream's settings are right again", zap.String("stream", name))
	}
}

func (s *settings) judge(have jetstream.StreamConfig) []string {
	for _, want := range s.streams.streams() {
		if want.Name != have.Name {
			continue
		}
		if err := checkFit(want, have); err != nil {
			return []string{err.Error()}
		}
		return s.streams.risks(want, have)
	}
	return nil
}

// condition says what the settings may cost. Events flow all the same.
func (s *settings) condition() health.Condition {
	s.mu.Lock()
	defer s.mu.Unlock()
	var reasons []string
	for _, stream := range s.streams.streams() {
		reasons = append(reasons, s.found[stream.Name]...)
	}
	return health.Condition{Name: "settings", OK: len(reasons) == 0, Warning: true, Reason: strings.Join(reasons, "; "), Since: s.since}
}
