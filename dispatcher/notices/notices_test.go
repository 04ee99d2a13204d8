package notices_test

import (
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/notices"
)

type line = notices.Line[string, int]

func first(n int) func() int { return func() int { return n } }

func TestALineNowAndThenSaysHowManyThereWere(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		tally := notices.New[string, int](time.Minute, 10)
		require.Empty(t, tally.Due())
		tally.Add("a", 1, first(7))
		tally.Add("a", 2, func() int { panic("asked about the first only") })
		require.Equal(t, []line{{Kind: "a", Count: 3, First: 7}}, tally.Due())
		for range 59 {
			tally.Add("a", 100, first(8))
			time.Sleep(time.Second)
			require.Empty(t, tally.Due(), "a line a minute")
		}
		time.Sleep(time.Second)
		require.Equal(t, []line{{Kind: "a", Count: 5900, First: 8}}, tally.Due(), "of those that nobody has told of")
		tally.Add("b", 1, first(9))
		require.Equal(t, []line{{Kind: "b", Count: 1, First: 9}}, tally.Due(), "each kind has its own minute")
	})
}

func TestWhatIsLeftIsToldInTheEnd(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		tally := notices.New[string, int](time.Minute, 10)
		tally.Add("a", 1, first(1))
		require.Len(t, tally.Due(), 1)
		tally.Add("a", 5, first(2))
		require.Equal(t, []line{{Kind: "a", Count: 5, First: 2}}, tally.All())
		require.Empty(t, tally.All())
	})
}

// Whoever makes kinds up does not get a line, or memory, for each.
func TestKindsBeyondTheBoundShareALine(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const most = 3
		tally := notices.New[string, int](time.Minute, most)
		for i := range 1000 {
			tally.Add(strconv.Itoa(i), 1, first(i))
		}
		lines := tally.Due()
		require.Len(t, lines, most+1)
		require.Equal(t, line{Kind: "3", Others: true, Count: 1000 - most, First: 3}, lines[most])
		tally.Add("new", 1, first(0))
		require.Empty(t, tally.Due(), "nor one more often")
		time.Sleep(time.Minute)
		require.Equal(t, []line{{Kind: "new", Others: true, Count: 1}}, tally.Due(), "the first ones are forgotten now")
		tally.Add("newer", 1, first(0))
		require.Equal(t, []line{{Kind: "newer", Count: 1}}, tally.Due())
	})
}
