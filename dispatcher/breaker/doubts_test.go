package breaker_test

import (
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/breaker"
)

const unknownCode, anotherCode = 424242, 100

func TestAHandfulIsBlamed(t *testing.T) {
	t.Parallel()
	d := breaker.NewDoubts[int]()
	require.False(t, d.Exist("1"))
	for i := range 20 {
		blamed, inDoubt := d.RecordRefusal("1", unknownCode, never, time.Now())
		require.Equal(t, i < breaker.Handful, blamed, i)
		require.Equal(t, i >= breaker.Handful-1, inDoubt, i)
		require.Equal(t, inDoubt, d.Exist("1"))
	}
	require.False(t, d.Exist("2"), "each dataset for itself")
	blamed, inDoubt := d.RecordRefusal("1", anotherCode, never, time.Now())
	require.True(t, blamed, "each code for itself")
	require.False(t, inDoubt)
	require.True(t, d.Exist("1"))
}

// What is accepted ends the doubt, and begins the count anew.
func TestAnAcceptanceEndsTheDoubt(t *testing.T) {
	t.Parallel()
	d, now := breaker.NewDoubts[int](), time.Now()
	for range 3 {
		for i := range breaker.Handful {
			blamed, inDoubt := d.RecordRefusal("1", unknownCode, never, time.Now())
			require.True(t, blamed)
			require.Equal(t, i == breaker.Handful-1, inDoubt)
		}
		require.True(t, d.Exist("1"))
		d.RecordAcceptance("2", now)
		require.True(t, d.Exist("1"), "that was another dataset's")
		d.RecordAcceptance("1", now)
		require.False(t, d.Exist("1"))
	}
}

// An event that is refused again, while others have been accepted since, is to
// blame, and no reason for doubt.
func TestRefusedBeforeAndAfterAnAcceptance(t *testing.T) {
	t.Parallel()
	d, now := breaker.NewDoubts[int](), time.Now()
	d.RecordAcceptance("1", now)
	d.RecordAcceptance("1", now.Add(-time.Hour)) // told late
	for range 2 * breaker.Handful {
		blamed, inDoubt := d.RecordRefusal("1", unknownCode, now.Add(-time.Second), time.Now())
		require.True(t, blamed)
		require.False(t, inDoubt)
	}
	require.False(t, d.Exist("1"))
	for range breaker.Handful {
		blamed, _ := d.RecordRefusal("1", unknownCode, now, time.Now())
		require.True(t, blamed)
	}
	blamed, inDoubt := d.RecordRefusal("1", unknownCode, now, time.Now())
	require.False(t, blamed, "nothing has been accepted since")
	require.True(t, inDoubt)
}

// Another worker's news of an acceptance counts like one's own, but not for what
// was refused after it.
func TestNewsOfAnAcceptance(t *testing.T) {
	t.Parallel()
	d, began := breaker.NewDoubts[int](), time.Now()
	after := func(seconds int) time.Time { return began.Add(time.Duration(seconds) * time.Second) }
	for range breaker.Handful {
		d.RecordRefusal("1", unknownCode, never, after(2))
	}
	d.Hear("1", never)
	require.Zero(t, d.AcceptedAt("1"), "no news")
	d.Hear("1", after(1))
	require.True(t, d.Exist("1"), "it was before these were refused")
	blamed, _ := d.RecordRefusal("1", unknownCode, began, after(2))
	require.True(t, blamed, "this one was refused before it, too")
	d.Hear("1", after(3))
	require.False(t, d.Exist("1"))
	d.Hear("1", after(1))
	require.Equal(t, after(3), d.AcceptedAt("1"), "news of old")
	require.Zero(t, d.AcceptedAt("2"))
}

func TestDoubtsAreBounded(t *testing.T) {
	t.Parallel()
	d := breaker.NewDoubts[int]()
	datasets := 2 * breaker.MaxKept
	for i := range datasets {
		for range breaker.Handful {
			d.RecordRefusal(strconv.Itoa(i), unknownCode, never, time.Now())
		}
	}
	left := 0
	for i := range datasets {
		if d.Exist(strconv.Itoa(i)) {
			left++
		}
	}
	require.Equal(t, breaker.MaxKept, left)
}
