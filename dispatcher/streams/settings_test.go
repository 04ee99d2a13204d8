package streams_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/health"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/streams"
)

// What a stream's settings may cost is said when it is new, and is a condition
// for as long as it is so. What was so at the start has been said then.
func TestSettingsThatChangeAreNoticed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		core, logged := observer.New(zap.InfoLevel)
		began := time.Now()
		settings := streams.NewSettings(streams.Default(), zap.New(core))
		look := func(name, subject string, storage jetstream.StorageType, age time.Duration) (said []string) {
			time.Sleep(time.Minute)
			settings.Look(&jetstream.StreamInfo{Config: jetstream.StreamConfig{
				Name: name, Subjects: []string{subject}, Storage: storage, MaxAge: age,
			}})
			for _, entry := range logged.TakeAll() {
				require.Equal(t, name, entry.ContextMap()["stream"])
				reason, _ := entry.ContextMap()["reason"].(string)
				said = append(said, entry.Message+": "+reason)
			}
			return said
		}
		require.Equal(t, health.Condition{Name: "settings", OK: true, Warning: true, Since: began}, settings.Condition())

		const (
			changed  = "a stream's settings have been changed: "
			inMemory = "stream CAPI is kept in memory: a restart of NATS loses what is in it"
			forgets  = "stream CAPI keeps messages for 1h0m0s only: Meta takes events for 7 days, and older ones vanish before they are sent"
			misled   = `stream CAPI_DLQ has the subjects ["else.>"], which do not include "capi.dead.>"`
		)
		require.Empty(t, look("CAPI", "capi.events.>", jetstream.MemoryStorage, 0), "it has been so")
		require.Equal(t, health.Condition{Name: "settings", Warning: true, Reason: inMemory, Since: began}, settings.Condition())
		require.Equal(t, []string{changed + forgets}, look("CAPI", "capi.events.>", jetstream.MemoryStorage, time.Hour), "only what is new")
		require.Empty(t, look("CAPI", "capi.events.>", jetstream.MemoryStorage, time.Hour))
		require.Equal(t, began.Add(2*time.Minute), settings.Condition().Since)
		require.Empty(t, look("CAPI_DLQ", "capi.dead.>", jetstream.FileStorage, time.Hour), "letters may be kept for less")
		require.Equal(t, inMemory+"; "+forgets, settings.Condition().Reason)
		require.Equal(t, []string{changed + misled}, look("CAPI_DLQ", "else.>", jetstream.MemoryStorage, 0))
		require.Equal(t, inMemory+"; "+forgets+"; "+misled, settings.Condition().Reason)
		require.Empty(t, look("OF_OTHERS", "else", jetstream.MemoryStorage, time.Hour))
		require.Equal(t, []string{"a stream's settings are right again: "}, look("CAPI", "capi.>", jetstream.FileStorage, 0))
		require.Equal(t, misled, settings.Condition().Reason)
	})
}

// One subject includes another if every word does.
func TestSubjectsOfAStreamHaveToIncludeOurs(t *testing.T) {
	t.Parallel()
	for subject, includes := range map[string]bool{
		"capi.events.>": true, "capi.>": true, ">": true, "*.events.>": true, "capi.*.>": true,
		"capi.events": false, "capi.events.*": false, "capi.events.*.>": false, "capi.dead.>": false, "events.>": false, "capi": false,
	} {
		settings := streams.NewSettings(streams.Default(), zap.NewNop())
		settings.Look(&jetstream.StreamInfo{Config: jetstream.StreamConfig{Name: "CAPI", Subjects: []string{"else", subject}}})
		require.Equal(t, includes, settings.Condition().OK, subject)
	}
}
