package inflight_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/inflight"
)

func TestLoad(t *testing.T) {
	t.Parallel()
	l := inflight.NewLoad()
	require.Zero(t, l.Of("1"))
	l.Add("1", 3)
	l.Add("2", 1)
	l.Add("1", -1)
	require.Equal(t, 2, l.Of("1"))
	l.Add("1", -2)
	require.Zero(t, l.Of("1"))
	require.Equal(t, 1, l.Of("2"))
}
