package streams_test

import (
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/natstest"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/streams"
)

func TestStreamsAreCreatedOnce(t *testing.T) {
	t.Parallel()
	js := natstest.Start(t).JetStream()
	set := streams.New(streams.Default(), js, func(text string) { t.Error(text) })
	for range 2 {
		require.NoError(t, set.Ensure(t.Context()))
		require.NoError(t, set.EnsureConsumers(t.Context()))
	}
	events, err := js.Stream(t.Context(), "CAPI")
	require.NoError(t, err)
	require.Equal(t, jetstream.DiscardNew, events.CachedInfo().Config.Discard, "a full stream refuses and does not forget")
	require.Equal(t, jetstream.FileStorage, events.CachedInfo().Config.Storage)
	require.EqualValues(t, -1, events.CachedInfo().Config.MaxBytes, "and has no limit that nobody has set")
	require.Equal(t, 192*time.Hour, events.CachedInfo().Config.MaxAge)
	require.Equal(t, 100*time.Millisecond, events.CachedInfo().Config.Duplicates, "ids are one name space for all datasets")
	parked, err := js.Stream(t.Context(), "CAPI_PARKED")
	require.NoError(t, err)
	require.Equal(t, 2*time.Minute, parked.CachedInfo().Config.Duplicates, "there the ids are ours, and relied on")
	letters, err := js.Stream(t.Context(), "CAPI_DLQ")
	require.NoError(t, err)
	require.Equal(t, jetstream.DiscardNew, letters.CachedInfo().Config.Discard, "a full stream refuses and does not forget")
	require.EqualValues(t, 1_000_000_000, letters.CachedInfo().Config.MaxBytes)
	require.Equal(t, 2160*time.Hour, letters.CachedInfo().Config.MaxAge)
	require.Equal(t, time.Hour, letters.CachedInfo().Config.Duplicates, "ids are ours there, too")
	consumer, err := js.Consumer(t.Context(), "CAPI", "capi-dispatcher")
	require.NoError(t, err)
	require.Equal(t, -1, consumer.CachedInfo().Config.MaxDeliver)
}

// NATS sets room aside for a stream with a limit. Where it has none, that is
// said with the size.
func TestNoRoomForADeadLetterStreamIsSaid(t *testing.T) {
	t.Parallel()
	js := natstest.StartWith(t, &server.Options{JetStreamMaxStore: 100_000_000}).JetStream()
	err := streams.New(streams.Default(), js, nil).Ensure(t.Context())
	var setup *streams.SetupError
	require.ErrorAs(t, err, &setup)
	require.ErrorContains(t, err, "stream CAPI_DLQ, for which NATS sets 1GB aside, cannot be created: nats: API error: code=500 err_code=10047")
}

// What streams keep is configured, and told where a stream keeps something
// else. Nothing is changed: what would be deleted by that would be gone.
func TestRetentionIsConfigured(t *testing.T) {
	t.Parallel()
	js := natstest.Start(t).JetStream()
	cfg := streams.Default()
	cfg.Section = "nats."
	cfg.MaxAge, cfg.MaxBytes, cfg.DeadLetterMaxAge, cfg.DeadLetterMaxBytes = 200*time.Hour, 50_000_000, 0, 20_000_000
	ensure := func() (warnings []string) {
		require.NoError(t, streams.New(cfg, js, func(text string) { warnings = append(warnings, text) }).Ensure(t.Context()))
		return warnings
	}
	require.Empty(t, ensure())
	for name, want := range map[string]jetstream.StreamConfig{
		"CAPI":        {MaxAge: 200 * time.Hour, MaxBytes: 50_000_000},
		"CAPI_PARKED": {MaxBytes: -1},
		"CAPI_DLQ":    {MaxBytes: 20_000_000},
	} {
		stream, err := js.Stream(t.Context(), name)
		require.NoError(t, err)
		have := stream.CachedInfo().Config
		require.Equal(t, []any{want.MaxAge, want.MaxBytes}, []any{have.MaxAge, have.MaxBytes}, name)
	}
	cfg.MaxAge, cfg.MaxBytes, cfg.DeadLetterMaxAge, cfg.DeadLetterMaxBytes = 0, 0, 90*time.Minute, 1_000_000_000
	require.Equal(t, []string{
		"stream CAPI keeps messages for 200h, and nats.max_age says for ever: set that, or run: nats stream edit CAPI --max-age=0s",
		"stream CAPI may hold 50MB, and nats.max_bytes says any size: set that, or run: nats stream edit CAPI --max-bytes=-1",
		"stream CAPI_DLQ keeps messages for ever, and nats.dead_letter_max_age says for 1h30m0s: set that, or run: nats stream edit CAPI_DLQ --max-age=1h30m0s",
		"stream CAPI_DLQ may hold 20MB, and nats.dead_letter_max_bytes says 1GB: set that, or run: nats stream edit CAPI_DLQ --max-bytes=1000000000",
	}, ensure())
	stream, err := js.Stream(t.Context(), "CAPI")
	require.NoError(t, err)
	require.Equal(t, 200*time.Hour, stream.CachedInfo().Config.MaxAge, "it is left alone")
}

func TestWhatDoesNotFitIsSaid(t *testing.T) {
	t.Parallel()
	type streamConfig = jetstream.StreamConfig
	type consumerConfig = jetstream.ConsumerConfig
	for name, tc := range map[string]struct {
		manage   bool
		stream   *streamConfig
		parked   *streamConfig
		consumer *consumerConfig
		problem  string
		warning  string
		ackWait  time.Duration
	}{
		"missing stream":    {problem: "stream CAPI does not exist; create it, or set nats.manage to true"},
		"missing consumer":  {stream: &streamConfig{}, parked: &streamConfig{}, problem: "consumer capi-dispatcher does not exist on stream"},
		"other subjects":    {manage: true, stream: &streamConfig{Subjects: []string{"capi.events.*"}}, problem: "which do not include \"capi.events.>\""},
		"no schedules":      {manage: true, stream: &streamConfig{}, parked: &streamConfig{Subjects: []string{"capi.parked.>"}}, problem: "does not allow message schedules"},
		"in memory":         {manage: true, stream: &streamConfig{Storage: jetstream.MemoryStorage}, warning: "kept in memory"},
		"short memory":      {manage: true, stream: &streamConfig{MaxAge: time.Hour}, warning: "keeps messages for 1h0m0s only"},
		"forgets":           {manage: true, stream: &streamConfig{MaxBytes: 1 << 20}, warning: "discards its oldest messages"},
		"forgets by number": {manage: true, stream: &streamConfig{MaxMsgs: 5}, warning: "discards its oldest messages"},
		"forgets a subject": {manage: true, stream: &streamConfig{MaxMsgsPerSubject: 5, Discard: jetstream.DiscardNew}, warning: "discards its oldest messages"},
		"refuses by number": {manage: true, stream: &streamConfig{MaxMsgs: 5, Discard: jetstream.DiscardNew}, warning: "stream CAPI takes 5 messages at most"},
		"refuses a subject": {manage: true, stream: &streamConfig{MaxMsgsPerSubject: 5, Discard: jetstream.DiscardNew, DiscardNewPerSubject: true}},
		"kept for longer":   {manage: true, stream: &streamConfig{MaxAge: 1000 * time.Hour}, warning: "stream CAPI keeps messages for 1000h, and nats.max_age says for 192h: set that, or run: nats stream edit CAPI --max-age=192h"},
		"a limit":           {manage: true, stream: &streamConfig{MaxBytes: 5e10, Discard: jetstream.DiscardNew}, warning: "stream CAPI may hold 50GB, and nats.max_bytes says any size: set that, or run: nats stream edit CAPI --max-bytes=-1"},
		"shared ids":        {manage: true, stream: &streamConfig{Duplicates: 2 * time.Minute}, warning: "in one name space for all datasets"},
		"parked for longer": {manage: true, stream: &streamConfig{}, parked: &streamConfig{MaxAge: 1000 * time.Hour}},
		"wider subjects":    {manage: true, stream: &streamConfig{Subjects: []string{"capi.events.>", "else"}}},
		"work queue":        {manage: true, stream: &streamConfig{Retention: jetstream.WorkQueuePolicy}},
		"interest":          {manage: true, stream: &streamConfig{Retention: jetstream.InterestPolicy}},
		"another ack wait":  {stream: &streamConfig{}, parked: &streamConfig{}, consumer: &consumerConfig{AckWait: time.Minute}, problem: "has an AckWait of 1m0s; set nats.ack_wait"},
		"no acks":           {stream: &streamConfig{}, parked: &streamConfig{}, consumer: &consumerConfig{AckPolicy: jetstream.AckNonePolicy}, problem: "does not ask for explicit acknowledgements"},
		"limited delivery":  {stream: &streamConfig{}, parked: &streamConfig{}, consumer: &consumerConfig{MaxDeliver: 5}, problem: "gives up after 5 deliveries"},
		"server's own wait": {stream: &streamConfig{}, parked: &streamConfig{}, consumer: &consumerConfig{MaxDeliver: -1, BackOff: []time.Duration{time.Second}}, ackWait: time.Second, warning: "has a backoff of its own"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			js := natstest.Start(t).JetStream()
			cfg := streams.Default()
			cfg.Section, cfg.Manage = "nats.", tc.manage
			if tc.ackWait > 0 {
				cfg.AckWait = tc.ackWait
			}
			makeStreams(t, js, tc.stream, tc.parked)
			if tc.consumer != nil {
				for _, stream := range []string{"CAPI", "CAPI_PARKED"} {
					consumer := *tc.consumer
					consumer.Durable = "capi-dispatcher"
					if consumer.AckWait == 0 && len(consumer.BackOff) == 0 {
						consumer.AckWait = cfg.AckWait
					}
					if stream == "CAPI_PARKED" {
						consumer.AckPolicy, consumer.FilterSubject = jetstream.AckExplicitPolicy, "capi.parked.due.>"
					}
					_, err := js.CreateConsumer(t.Context(), stream, consumer)
					require.NoError(t, err)
				}
			}
			var warnings []string
			set := streams.New(cfg, js, func(text string) { warnings = append(warnings, text) })
			err := set.Ensure(t.Context())
			if err == nil {
				err = set.EnsureConsumers(t.Context())
			}
			if tc.problem != "" {
				var setup *streams.SetupError
				require.ErrorAs(t, err, &setup)
				require.ErrorContains(t, err, tc.problem)
				return
			}
			require.NoError(t, err)
			if tc.warning == "" {
				require.Empty(t, warnings)
				return
			}
			require.NotEmpty(t, warnings)
			require.Contains(t, warnings[0], tc.warning)
		})
	}
}

func makeStreams(t *testing.T, js jetstream.JetStream, events, parked *jetstream.StreamConfig) {
	t.Helper()
	if events != nil {
		cfg := *events
		cfg.Name = "CAPI"
		if cfg.MaxAge == 0 {
			cfg.MaxAge = streams.Default().MaxAge
		}
		if cfg.Subjects == nil {
			cfg.Subjects = []string{"capi.events.>"}
		}
		if cfg.Duplicates == 0 {
			cfg.Duplicates = 100 * time.Millisecond
		}
		_, err := js.CreateStream(t.Context(), cfg)
		require.NoError(t, err)
	}
	if parked != nil {
		cfg := *parked
		cfg.Name, cfg.Retention = "CAPI_PARKED", jetstream.WorkQueuePolicy
		if cfg.Subjects == nil {
			cfg.Subjects, cfg.AllowMsgSchedules = []string{"capi.parked.>"}, true
		}
		_, err := js.CreateStream(t.Context(), cfg)
		require.NoError(t, err)
	}
	if events != nil && parked != nil {
		_, err := js.CreateStream(t.Context(), jetstream.StreamConfig{
			Name: "CAPI_DLQ", Subjects: []string{"capi.dead.>"}, MaxAge: 2160 * time.Hour, MaxBytes: 1e9, Discard: jetstream.DiscardNew,
		})
		require.NoError(t, err)
	}
}
