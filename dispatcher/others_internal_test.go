package dispatcher

import (
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"
)

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
		"pull now and then":  {func(s int) info { return at(7, 7, 0, boolToCount(s%9 == 0)) }, 0},
		"busy":               {func(s int) info { return at(uint64(s), uint64(s), 1, 0) }, 0},
		"acknowledge":        {func(s int) info { return at(100, uint64(s), 1, 0) }, 0},
		"stopped, all done":  {func(s int) info { return at(uint64(min(s, 5)), uint64(min(s, 5)), 0, 0) }, 15},
		"killed":             {func(s int) info { return at(uint64(min(s, 5)), 0, 3, 0) }, 35},
		"give back at last":  {func(s int) info { return at(9, 3, 6-min(s/8, 2), 0) }, 46},
		"one more after all": {func(s int) info { return at(9+uint64(boolToCount(s >= 8)), 9, 0, 0) }, 18},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var o others
			begun, gone := time.Now(), 0
			for s := range 200 {
				now := tc.look(s)
				if o.gone(&now, begun.Add(time.Duration(s)*time.Second)) {
					gone = s
					break
				}
			}
			require.Equal(t, tc.gone, gone)
		})
	}
}

// Who has not looked has not seen that nobody is there.
func TestOthersAreNotGoneUnseen(t *testing.T) {
	t.Parallel()
	var o others
	begun := time.Now()
	require.False(t, o.gone(&jetstream.ConsumerInfo{}, begun))
	require.False(t, o.gone(&jetstream.ConsumerInfo{}, begun.Add(time.Minute)))
	for s := 1; s <= 10; s++ {
		require.Equal(t, s == 10, o.gone(&jetstream.ConsumerInfo{}, begun.Add(time.Minute+time.Duration(s)*time.Second)))
	}
}

func boolToCount(b bool) int { return int(boolToInt(b)) }
