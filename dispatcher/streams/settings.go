package streams

import (
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/zap"

	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/health"
)

// Settings watches the streams' settings while the workers run, because they
// may be changed so that events are lost or refused. Create them with
// [NewSettings].
type Settings struct {
	wanted []definition
	log    *zap.Logger

	mu    sync.Mutex
	found map[string][]string // of each stream that has been looked at
	since time.Time
}

// NewSettings returns the settings of the streams of a configuration, none of which
// has been looked at.
func NewSettings(cfg Config, log *zap.Logger) *Settings {
	return &Settings{wanted: cfg.definitions(), log: log, found: make(map[string][]string), since: time.Now()}
}

// Look judges a stream by what the server says of it, and says what is new. What
// was so at the start has been said then.
func (s *Settings) Look(info *jetstream.StreamInfo) {
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

func (s *Settings) judge(have jetstream.StreamConfig) []string {
	for _, want := range s.wanted {
		if want.Name != have.Name {
			continue
		}
		if err := want.misfit(have); err != nil {
			return []string{err.Error()}
		}
		return want.risks(have)
	}
	return nil
}

// Condition says what the settings may cost. Events flow all the same.
func (s *Settings) Condition() health.Condition {
	s.mu.Lock()
	defer s.mu.Unlock()
	var reasons []string
	for _, stream := range s.wanted {
		reasons = append(reasons, s.found[stream.Name]...)
	}
	return health.Condition{
		Name: "settings", OK: len(reasons) == 0, Warning: true,
		Reason: strings.Join(reasons, "; "), Since: s.since,
	}
}
