package streams_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/streams"
)

// used is a stream with a consumer that workers with other settings use.
type used struct {
	jetstream.Stream

	begun time.Time
	look  func(second int) jetstream.ConsumerInfo
	taken *jetstream.ConsumerConfig // as it is taken over
}

func (u *used) CachedInfo() *jetstream.StreamInfo {
	return &jetstream.StreamInfo{Config: jetstream.StreamConfig{Name: "CAPI"}}
}

func (u *used) Consumer(context.Context, string) (jetstream.Consumer, error) {
	info := u.look(int(time.Since(u.begun) / time.Second))
	info.Name, info.Stream = "capi-dispatcher", "CAPI"
	info.Config.FilterSubject = "capi.events.>"
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
	at := func(delivered, acknowledged uint64, inHand, pulls int) info {
		return info{
			Delivered: jetstream.SequenceInfo{Consumer: delivered}, AckFloor: jetstream.SequenceInfo{Consumer: acknowledged},
			NumAckPending: inHand, NumWaiting: pulls, Config: jetstream.ConsumerConfig{AckWait: 30 * time.Second},
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

func count(is bool) int {
	if is {
		return 1
	}
	return 0
}
