package dispatcher

import (
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/capi-dispatcher/capi-dispatcher/graph"
)

func TestAHandfulIsBlamed(t *testing.T) {
	t.Parallel()
	d, now, unknown, never := newDoubts(), time.Now(), graph.ErrorCode{Code: 424242}, time.Time{}
	for i := range 20 {
		blamed, inDoubt := d.refused("1", unknown, never)
		require.Equal(t, i < handful, blamed, i)
		require.Equal(t, i >= handful-1, inDoubt, i)
		require.Equal(t, inDoubt, d.exist("1"))
	}
	require.False(t, d.exist("2"), "each dataset for itself")
	blamed, inDoubt := d.refused("1", graph.ErrorCode{Code: 100}, never)
	require.True(t, blamed, "each code for itself")
	require.False(t, inDoubt)

	d.accepted("1", now)
	require.False(t, d.exist("1"))
	for range 20 {
		blamed, _ = d.refused("1", unknown, now.Add(-time.Second))
		require.True(t, blamed, "it was refused before, and others are accepted since")
	}
	require.False(t, d.exist("1"), "and that is no reason for doubt")
}

func TestDoubtsAreBounded(t *testing.T) {
	t.Parallel()
	d := newDoubts()
	for i := range maxTroubles + 10 {
		d.accepted(strconv.Itoa(i), time.Now())
	}
	require.Len(t, d.states, maxTroubles)
}
