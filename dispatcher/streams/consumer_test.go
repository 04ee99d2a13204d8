package streams_test

import (
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/natstest"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/streams"
)

// What leases are reckoned by has to stay as it is; what else we have made, too, if
// it is ours to make.
func TestAConsumerThatIsChangedDoesNotSuit(t *testing.T) {
	t.Parallel()
	js := natstest.Start(t).JetStream()
	cfg := streams.Default()
	set := streams.New(cfg, js, func(text string) { t.Error(text) }).KeyedBy("event")
	require.NoError(t, set.Ensure(t.Context()))
	require.NoError(t, set.EnsureConsumers(t.Context()))
	verifying := cfg
	verifying.Manage = false
	for name, tc := range map[string]struct {
		change           func(*jetstream.ConsumerConfig)
		managed, foreign bool // does it suit?
	}{
		"as it was":         {func(*jetstream.ConsumerConfig) {}, true, true},
		"no metadata":       {func(c *jetstream.ConsumerConfig) { c.Metadata = nil }, false, true},
		"other settings":    {func(c *jetstream.ConsumerConfig) { c.Metadata = map[string]string{"capi-dispatcher-settings": "x"} }, false, false},
		"fewer in flight":   {func(c *jetstream.ConsumerConfig) { c.MaxAckPending = 7 }, false, true},
		"another filter":    {func(c *jetstream.ConsumerConfig) { c.FilterSubject = "capi.events.1" }, false, true},
		"a backoff":         {func(c *jetstream.ConsumerConfig) { c.BackOff = []time.Duration{time.Second} }, false, true},
		"another ack wait":  {func(c *jetstream.ConsumerConfig) { c.AckWait++ }, false, false},
		"limited delivery":  {func(c *jetstream.ConsumerConfig) { c.MaxDeliver = 5 }, false, false},
		"a push consumer":   {func(c *jetstream.ConsumerConfig) { c.DeliverSubject = "x" }, false, false},
		"acknowledges none": {func(c *jetstream.ConsumerConfig) { c.AckPolicy = jetstream.AckNonePolicy }, false, false},
	} {
		consumer, err := js.Consumer(t.Context(), "CAPI", "capi-dispatcher")
		require.NoError(t, err)
		info := consumer.CachedInfo()
		tc.change(&info.Config)
		require.Equal(t, tc.managed, set.Suits(info, streams.Events), name)
		require.Equal(t, tc.foreign, streams.New(verifying, js, nil).KeyedBy("event").Suits(info, streams.Events), name)
	}
	consumer, err := js.Consumer(t.Context(), "CAPI", "capi-dispatcher")
	require.NoError(t, err)
	require.False(t, set.Suits(consumer.CachedInfo(), streams.Parked), "it is another's")
}

// A consumer that has looked at other subjects has passed events over: it begins
// anew.
func TestAMisledConsumerBeginsAnew(t *testing.T) {
	t.Parallel()
	js := natstest.Start(t).JetStream()
	var warnings []string
	set := streams.New(streams.Default(), js, func(text string) { warnings = append(warnings, text) })
	require.NoError(t, set.Ensure(t.Context()))
	for _, stream := range []string{"CAPI", "CAPI_PARKED"} {
		_, err := js.CreateConsumer(t.Context(), stream, jetstream.ConsumerConfig{
			Durable: "capi-dispatcher", AckPolicy: jetstream.AckExplicitPolicy, FilterSubjects: []string{"capi.events.1", "capi.parked.due.1"},
		})
		require.NoError(t, err)
	}
	require.NoError(t, set.EnsureConsumers(t.Context()))
	require.Equal(t, []string{
		`consumer capi-dispatcher on stream CAPI looks at ["capi.events.1" "capi.parked.due.1" ""] and not at "capi.events.>"; it is made anew and begins at the beginning`,
		`consumer capi-dispatcher on stream CAPI_PARKED looks at ["capi.events.1" "capi.parked.due.1" ""] and not at "capi.parked.due.>"; it is made anew and begins at the beginning`,
	}, warnings)
	for stream, filter := range map[string]string{"CAPI": "capi.events.>", "CAPI_PARKED": "capi.parked.due.>"} {
		consumer, err := js.Consumer(t.Context(), stream, "capi-dispatcher")
		require.NoError(t, err)
		require.Equal(t, filter, consumer.CachedInfo().Config.FilterSubject)
		require.NotContains(t, consumer.CachedInfo().Config.Metadata, "capi-dispatcher-settings", "who does not know the key says nothing")
	}
}

// The consumer of parked events gets those that are due, and nothing else; that of
// events may be one of all.
func TestFiltersThatAreVerified(t *testing.T) {
	t.Parallel()
	js := natstest.Start(t).JetStream()
	cfg := streams.Default()
	require.NoError(t, streams.New(cfg, js, nil).Ensure(t.Context()))
	cfg.Manage = false
	set := streams.New(cfg, js, func(text string) { t.Error(text) })
	for _, tc := range []struct {
		stream, filter string
		role           streams.Role
		problem        string
	}{
		{"CAPI", "", streams.Events, ""},
		{"CAPI", "capi.>", streams.Events, ""},
		{"CAPI", "capi.events.1", streams.Events, `consumer capi-dispatcher on stream CAPI has the filter ["capi.events.1"]; set it to capi.events.>`},
		{"CAPI_PARKED", "capi.parked.due.>", streams.Parked, ""},
		{"CAPI_PARKED", "", streams.Parked, `consumer capi-dispatcher on stream CAPI_PARKED has the filter []; set it to capi.parked.due.>`},
		{"CAPI_PARKED", "capi.parked.>", streams.Parked, `has the filter ["capi.parked.>"]; set it to capi.parked.due.>`},
	} {
		stream, err := js.Stream(t.Context(), tc.stream)
		require.NoError(t, err)
		_ = stream.DeleteConsumer(t.Context(), "capi-dispatcher")
		_, err = stream.CreateConsumer(t.Context(), jetstream.ConsumerConfig{
			Durable: "capi-dispatcher", AckPolicy: jetstream.AckExplicitPolicy, AckWait: cfg.AckWait, FilterSubject: tc.filter,
		})
		require.NoError(t, err)
		consumer, err := set.Consumer(t.Context(), stream, tc.role, new(streams.OtherWorkers))
		if tc.problem == "" {
			require.NoError(t, err)
			require.NotNil(t, consumer)
			continue
		}
		var setup *streams.SetupError
		require.ErrorAs(t, err, &setup)
		require.ErrorContains(t, err, tc.problem)
	}
}

// A stream that has been deleted is made anew, if it is ours to make.
func TestADeletedStreamIsMadeAnew(t *testing.T) {
	t.Parallel()
	js := natstest.Start(t).JetStream()
	cfg := streams.Default()
	var warnings []string
	set := func() *streams.Set {
		return streams.New(cfg, js, func(text string) { warnings = append(warnings, text) })
	}
	require.NoError(t, set().Ensure(t.Context()))
	_, err := set().Open(t.Context(), "CAPI_DLQ")
	require.NoError(t, err)
	require.Empty(t, warnings)
	require.NoError(t, js.DeleteStream(t.Context(), "CAPI_DLQ"))
	cfg.Manage = false
	_, err = set().Open(t.Context(), "CAPI_DLQ")
	require.ErrorIs(t, err, jetstream.ErrStreamNotFound)
	require.ErrorContains(t, err, "stream CAPI_DLQ: ")
	cfg.Manage = true
	_, err = set().Open(t.Context(), "CAPI_DLQ")
	require.NoError(t, err)
	require.Equal(t, []string{"stream CAPI_DLQ has been deleted; it is made anew, and what was in it is gone"}, warnings)
}
