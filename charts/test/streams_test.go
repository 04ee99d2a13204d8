package test_test

import (
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/natstest"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/streams"
)

// What the resources for NATS' controller have in common with what the API of
// JetStream tells.
type (
	nackStream struct {
		Spec struct {
			Name, Description, Retention, Discard, Storage, MaxAge, DuplicateWindow string
			Subjects                                                                []string
			Replicas                                                                int
			MaxBytes                                                                int64
			AllowDirect, AllowMsgSchedules                                          bool
			PreventDelete                                                           bool
		}
	}
	nackConsumer struct {
		Spec struct {
			StreamName, DurableName, AckPolicy, AckWait, FilterSubject, DeliverPolicy string
			MaxDeliver, MaxAckPending                                                 int
		}
	}
)

// NATS' controller is told to make what the program itself would make.
func TestTheResourcesAreWhatTheProgramCreates(t *testing.T) {
	t.Parallel()
	for _, values := range []string{"", `
config:
  nats: {stream: A, subject: a.b, parked_stream: P, parked_subject: p.q, dead_letter_stream: D, dead_letter_subject: d.e, consumer: c, ack_wait: 1m,
         max_ack_pending: 7, max_age: 240h, max_bytes: 1.5GB, dead_letter_max_age: 0s, dead_letter_max_bytes: 250MB}`, `
config: {nats: {max_bytes: 20000000, dead_letter_max_bytes: 0}}`, `
config: {nats: {max_bytes: 32m, dead_letter_max_bytes: "900000 KB"}}`} {
		r := render(t, "streams: {owner: nack}", values)
		cfg := configOf(r, fullname).NATS.Streams
		cfg.Manage = true
		js := natstest.Start(t).JetStream()
		set := streams.New(cfg, js, func(warning string) { t.Error(warning) })
		require.NoError(t, set.Ensure(t.Context()))
		require.NoError(t, set.EnsureConsumers(t.Context()))

		for name, stream := range map[string]string{"events": cfg.Stream, "parked": cfg.ParkedStream, "dead-letters": cfg.DeadLetterStream} {
			made, err := js.Stream(t.Context(), stream)
			require.NoError(t, err)
			requireSameStream(t, made.CachedInfo().Config, custom[nackStream](r, "Stream", fullname+"-"+name))
		}
		for name, stream := range map[string]string{"events": cfg.Stream, "parked": cfg.ParkedStream} {
			made, err := js.Consumer(t.Context(), stream, cfg.Consumer)
			require.NoError(t, err)
			requireSameConsumer(t, stream, made.CachedInfo().Config, custom[nackConsumer](r, "Consumer", fullname+"-"+name))
		}
	}
}

func requireSameStream(t *testing.T, made jetstream.StreamConfig, resource *nackStream) {
	t.Helper()
	told := resource.Spec
	retention := map[string]jetstream.RetentionPolicy{"limits": jetstream.LimitsPolicy, "workqueue": jetstream.WorkQueuePolicy}
	discard := map[string]jetstream.DiscardPolicy{"": jetstream.DiscardOld, "old": jetstream.DiscardOld, "new": jetstream.DiscardNew}
	require.Equal(t, made.Name, told.Name)
	require.Equal(t, made.Description, told.Description)
	require.Equal(t, made.Subjects, told.Subjects)
	require.Equal(t, made.Retention, retention[told.Retention])
	require.Equal(t, made.Discard, discard[told.Discard])
	require.Equal(t, "file", told.Storage)
	require.Equal(t, made.MaxAge, duration(t, told.MaxAge))
	if told.MaxBytes == 0 { // of the stream that never has a limit
		told.MaxBytes = -1
	}
	require.Equal(t, made.MaxBytes, told.MaxBytes)
	require.Equal(t, made.Duplicates, duration(t, told.DuplicateWindow))
	require.Equal(t, made.Replicas, told.Replicas)
	require.Equal(t, made.AllowDirect, told.AllowDirect)
	require.Equal(t, made.AllowMsgSchedules, told.AllowMsgSchedules)
	require.True(t, told.PreventDelete)
}

func requireSameConsumer(t *testing.T, stream string, made jetstream.ConsumerConfig, resource *nackConsumer) {
	t.Helper()
	told := resource.Spec
	require.Equal(t, stream, told.StreamName)
	require.Equal(t, made.Durable, told.DurableName)
	require.Equal(t, "explicit", told.AckPolicy)
	require.Equal(t, "all", told.DeliverPolicy)
	require.Equal(t, made.AckWait, duration(t, told.AckWait))
	require.Equal(t, made.FilterSubject, told.FilterSubject)
	require.Equal(t, made.MaxDeliver, told.MaxDeliver)
	require.Equal(t, made.MaxAckPending, told.MaxAckPending)
}

func duration(t *testing.T, text string) time.Duration {
	t.Helper()
	if text == "" {
		return 0
	}
	d, err := time.ParseDuration(text)
	require.NoError(t, err)
	return d
}
