package dispatcher

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestSpread(t *testing.T) {
	t.Parallel()
	for n, want := range map[int][]int{
		0: nil, 1: {0}, 2: {1, 0}, 3: {2, 0, 1}, 8: {7, 0, 1, 2, 3, 4, 5, 6}, 9: {8, 0, 1, 2, 3, 4, 5, 6}, 1001: {1000, 0, 142, 285, 428, 571, 714, 857},
	} {
		require.Equal(t, want, spread(n, 8), n)
	}
	require.Equal(t, []int{4}, spread(5, 1))
}
