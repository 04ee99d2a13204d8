package streams_test

import (
	"cmp"
	"context"
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

// used is a stream with a consumer that workers with other settings use.
type used struct {
	jetstream.Stream

	begun  time.Time
	look   func(second int) jetstream.ConsumerInfo
	filter string                    // "": that of events
	taken  *jetstream.ConsumerConfig // as it is taken over
}

func (u *used) CachedInfo() *jetstream.StreamInfo {
	return &jetstream.StreamInfo{Config: jetstream.StreamConfig{Name: "CAPI"}}
}

func (u *used) Consumer(context.Context, string) (jetstream.Consumer, error) {
	info := u.look(int(time.Since(u.begun) / time.Second))
	info.Name, info.Stream = "capi-dispatcher", "CAPI"
	info.Config.FilterSubject = cmp.Or(u.filter, "capi.events.>")
	info.Config.Metadata = map[string]string{"capi-dispatcher-settings": "theirs", "team": "shop", "_nats.ver": "2"}
	return &consumer{info: &info}, nil
}

func (u *used) CreateOrUpdateConsumer(_ context.Context, cfg jetstream.ConsumerConfig) (jetstream.Consumer, error) {
	u.taken = &cfg
	return &consumer{}, nil
}

type consumer struct {
	jetstream.Consumer

	info *jetstream.ConsumerInfo
}

func (c *consumer) CachedInfo() *jetstream.ConsumerInfo { return c.info }

// takenAfter looks once a second, and returns when the consumer is taken over; 0:
// never.
func (u *used) takenAfter(t *testing.T, others *streams.OtherWorkers) time.Duration {
	t.Helper()
	u.begun = time.Now()
	set := streams.New(streams.Default(), nil, func(text string) { t.Error(text) }).KeyedBy("event")
	for range 200 {
		made, err := set.Consumer(t.Context(), u, streams.Events, others)
		if u.taken != nil {
			require.NoError(t, err)
			require.NotNil(t, made)
			return time.Since(u.begun)
		}
		var differ *streams.OtherSettingsError
		require.ErrorAs(t, err, &differ)
		require.Nil(t, made)
		time.Sleep(time.Second)
	}
	return 0
}

// Workers are gone when nothing has been seen of them for long enough, however
// little they show.
func TestOthersAreGone(t *testing.T) {
	t.Parallel()
	type info = jetstream.ConsumerInfo
	at := func(delivered, acknowledged uint64, inFlight, pulls int) info {
		return info{
			Delivered: jetstream.SequenceInfo{Consumer: delivered}, AckFloor: jetstream.SequenceInfo{Consumer: acknowledged},
			NumAckPending: inFlight, NumWaiting: pulls, Config: jetstream.ConsumerConfig{AckWait: 30 * time.Second},
		}
	}
	for name, tc := range map[string]struct {
		look func(second int) info
		gone int // after so many seconds; 0: never
	}{
		"nobody":             {func(int) info { return at(0, 0, 0, 0) }, 10},
		"idle":               {func(int) info { return at(7, 7, 0, 1) }, 0},
		"pull now and then":  {func(s int) info { return at(7, 7, 0, count(s%9 == 0)) }, 0},
		"busy":               {func(s int) info { return at(uint64(s), uint64(s), 1, 0) }, 0},
		"acknowledge":        {func(s int) info { return at(100, uint64(s), 1, 0) }, 0},
		"stopped, all done":  {func(s int) info { return at(uint64(min(s, 5)), uint64(min(s, 5)), 0, 0) }, 15},
		"killed":             {func(s int) info { return at(uint64(min(s, 5)), 0, 3, 0) }, 35},
		"give back at last":  {func(s int) info { return at(9, 3, 6-min(s/8, 2), 0) }, 46},
		"one more after all": {func(s int) info { return at(9+uint64(count(s >= 8)), 9, 0, 0) }, 18},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				stream := &used{look: tc.look}
				require.Equal(t, time.Duration(tc.gone)*time.Second, stream.takenAfter(t, new(streams.OtherWorkers)))
				if tc.gone > 0 {
					require.Equal(t, map[string]string{
						"capi-dispatcher-settings": "nats.ack_wait=30s nats.max_ack_pending=20000 dedupe.key=event", "team": "shop",
					}, stream.taken.Metadata)
				}
			})
		})
	}
}

// Who has not looked has not seen that nobody is there.
func TestOthersAreNotGoneUnseen(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		stream := &used{look: func(int) jetstream.ConsumerInfo { return jetstream.ConsumerInfo{} }}
		set, others := streams.New(streams.Default(), nil, nil).KeyedBy("event"), new(streams.OtherWorkers)
		_, err := set.Consumer(t.Context(), stream, streams.Events, others)
		require.Error(t, err)
		time.Sleep(time.Minute)
		require.Equal(t, 10*time.Second, stream.takenAfter(t, others))
	})
}

// Who may change nothing takes nothing over.
func TestVerifyingTakesNothingOver(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		cfg := streams.Default()
		cfg.Manage = false
		stream := &used{look: func(int) jetstream.ConsumerInfo {
			return jetstream.ConsumerInfo{Config: jetstream.ConsumerConfig{AckPolicy: jetstream.AckExplicitPolicy, AckWait: cfg.AckWait}}
		}}
		set, others := streams.New(cfg, nil, nil).KeyedBy("event"), new(streams.OtherWorkers)
		for range 60 {
			_, err := set.Consumer(t.Context(), stream, streams.Events, others)
			require.EqualError(t, err, "workers with other settings use consumer capi-dispatcher on stream CAPI: they have theirs, "+
				"and ours are nats.ack_wait=30s nats.max_ack_pending=20000 dedupe.key=event")
			time.Sleep(time.Second)
		}
		require.Nil(t, stream.taken)
	})
}

// usedServer is a server whose streams are used by others.
type usedServer struct {
	jetstream.JetStream

	streams map[string]*used
}

func (s usedServer) Stream(_ context.Context, name string) (jetstream.Stream, error) {
	return s.streams[name], nil
}

// Whoever sets the consumers up waits for workers that are about to go, and says
// what to do about those that are not.
func TestEnsureWaitsForOthersThatGo(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		pulls   int
		takes   time.Duration
		problem string
	}{
		"gone":  {0, 20 * time.Second, ""},
		"there": {1, 41 * time.Second, "; stop those workers first"}, // AckWait, and twice as long as they may be silent
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				began, busy := time.Now(), func(int) jetstream.ConsumerInfo {
					return jetstream.ConsumerInfo{NumWaiting: tc.pulls, Config: jetstream.ConsumerConfig{AckWait: 20 * time.Second}}
				}
				events, parked := &used{begun: began, look: busy}, &used{begun: began, look: busy, filter: "capi.parked.due.>"}
				js := usedServer{streams: map[string]*used{"CAPI": events, "CAPI_PARKED": parked}}
				set := streams.New(streams.Default(), js, func(text string) { t.Error(text) }).KeyedBy("event")
				err := set.EnsureConsumers(t.Context())
				require.Equal(t, tc.takes, time.Since(began))
				if tc.problem == "" {
					require.NoError(t, err)
					require.NotNil(t, events.taken)
					require.NotNil(t, parked.taken)
					return
				}
				require.ErrorContains(t, err, tc.problem)
				require.Nil(t, events.taken)
				var differ *streams.OtherSettingsError
				require.ErrorAs(t, err, &differ)
			})
		})
	}
}

// Why a worker waits is a condition, and is said once a minute.
func TestOthersAreSaid(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		core, logged := observer.New(zap.InfoLevel)
		stream := &used{begun: time.Now(), look: func(int) jetstream.ConsumerInfo { return jetstream.ConsumerInfo{NumWaiting: 1} }}
		others := new(streams.OtherWorkers)
		_, err := streams.New(streams.Default(), nil, nil).KeyedBy("event").Consumer(t.Context(), stream, streams.Events, others)
		var differ *streams.OtherSettingsError
		require.ErrorAs(t, err, &differ)
		require.Equal(t, health.Condition{Name: "workers", OK: true, Warning: true}, others.Condition())
		require.False(t, others.Left(), "nobody was there")
		for range 2 {
			began := time.Now()
			for range 90 {
				others.Found(differ, zap.New(core))
				time.Sleep(time.Second)
			}
			require.Equal(t, health.Condition{Name: "workers", Warning: true, Reason: differ.Error(), Since: began}, others.Condition())
			said := logged.TakeAll()
			require.Len(t, said, 2)
			require.Equal(t, "this worker takes no events until the workers with other settings are gone", said[0].Message)
			require.Equal(t, differ.Error(), said[0].ContextMap()["reason"])
			require.True(t, others.Left())
			require.True(t, others.Condition().OK)
			require.False(t, others.Left())
		}
	})
}

func count(is bool) int {
	if is {
		return 1
	}
	return 0
}
