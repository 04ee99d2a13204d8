package inflight_test

import (
	"context"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/inflight"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// waiting runs f, and returns whether it waits.
func waiting(f func()) (done chan struct{}, waits bool) {
	done = make(chan struct{})
	go func() {
		defer close(done)
		f()
	}()
	synctest.Wait()
	select {
	case <-done:
		return done, false
	default:
		return done, true
	}
}

func TestAPullTakesAShare(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		most, least     int
		messages, bytes int
	}{
		"half of the messages, a quarter of the bytes": {1000, 10, 50, 1000},
		"as many as wanted":                            {20, 10, 20, 1000},
		"the largest message fits in any case":         {20, 3000, 20, 3000},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			messages, bytes, err := inflight.NewBudget(100, 4000).Reserve(t.Context(), tc.most, tc.least)
			require.NoError(t, err)
			require.Equal(t, []int{tc.messages, tc.bytes}, []int{messages, bytes})
		})
	}
}

func TestPullsWaitForMessagesAndBytes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := inflight.NewBudget(2, 1000)
		messages, bytes, err := b.Reserve(t.Context(), 2, 900)
		require.NoError(t, err)
		require.Equal(t, []int{1, 900}, []int{messages, bytes})
		got := 0
		done, waits := waiting(func() { got, _, _ = b.Reserve(t.Context(), 2, 900) })
		require.True(t, waits, "a message is free, and the bytes are not")
		b.Free(0, 800)
		<-done
		require.Equal(t, 1, got)
	})
}

// Events that weigh much keep others from being pulled until they have left.
func TestEventsAreSpent(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := inflight.NewBudget(100, 1000)
		_, bytes, err := b.Reserve(t.Context(), 10, 100)
		require.NoError(t, err)
		require.NoError(t, b.Admit(t.Context(), 600), "the first")
		second, waits := waiting(func() { require.NoError(t, b.Admit(t.Context(), 300)) })
		require.True(t, waits, "of 1000 bytes, 600 are spent and 250 reserved")
		pull, waits := waiting(func() { _, _, _ = b.Reserve(t.Context(), 10, 1) })
		require.True(t, waits, "nothing is pulled while a message waits")
		b.Leave(1, 600+bytes)
		<-second
		<-pull
	})
}

func TestShort(t *testing.T) {
	t.Parallel()
	b := inflight.NewBudget(100, 1000)
	require.False(t, b.Short())
	require.NoError(t, b.Admit(t.Context(), 751))
	require.True(t, b.Short(), "of bytes")
	b.Leave(1, 751)
	for range 2 {
		_, bytes, err := b.Reserve(t.Context(), 50, 0)
		require.NoError(t, err)
		b.Free(0, bytes)
	}
	require.False(t, b.Short(), "a quarter of the messages is left")
	_, _, err := b.Reserve(t.Context(), 50, 0)
	require.NoError(t, err)
	require.True(t, b.Short(), "of messages")
}

// A message that weighs more than all there is passes, alone.
func TestAGiantPassesAlone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := inflight.NewBudget(100, 1000)
		require.NoError(t, b.Admit(t.Context(), 5000))
		other, waits := waiting(func() { require.NoError(t, b.Admit(t.Context(), 1)) })
		require.True(t, waits)
		b.Leave(1, 5000)
		<-other
		giant, waits := waiting(func() { require.NoError(t, b.Admit(t.Context(), 5000)) })
		require.True(t, waits, "not beside another")
		b.Leave(1, 1)
		<-giant
	})
}

func TestNobodyWaitsForEver(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := inflight.NewBudget(1, 1000)
		_, _, err := b.Reserve(t.Context(), 1, 1000)
		require.NoError(t, err)
		require.NoError(t, b.Admit(t.Context(), 0))
		ctx, stop := context.WithCancel(t.Context())
		var errs [2]error
		pull, _ := waiting(func() { _, _, errs[0] = b.Reserve(ctx, 1, 1) })
		admission, _ := waiting(func() { errs[1] = b.Admit(ctx, 1) })
		stop()
		<-pull
		<-admission
		require.ErrorIs(t, errs[0], context.Canceled)
		require.ErrorIs(t, errs[1], context.Canceled)
		b.Leave(1, 1000)
		_, _, err = b.Reserve(t.Context(), 1, 1000)
		require.NoError(t, err, "who has given up holds nothing up")
	})
}

// A pull leaves half of the free bytes to those that are being admitted: they
// would wait for each other.
func TestAPullLeavesRoomForWhatIsAdmitted(t *testing.T) {
	t.Parallel()
	b := inflight.NewBudget(100, 1000)
	_, bytes, err := b.Reserve(t.Context(), 10, 100)
	require.NoError(t, err)
	require.Equal(t, 250, bytes, "a quarter of all")
	_, bytes, err = b.Reserve(t.Context(), 10, 100)
	require.NoError(t, err)
	require.Equal(t, 250, bytes)
	_, bytes, err = b.Reserve(t.Context(), 10, 100)
	require.NoError(t, err)
	require.Equal(t, 250, bytes, "half of what is left")
	require.True(t, b.TryAdmit(250))
	require.False(t, b.TryAdmit(1))
	b.Free(0, 1)
	require.True(t, b.TryAdmit(1))
}
