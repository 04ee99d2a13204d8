package bounded_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/capi-dispatcher/capi-dispatcher/internal/bounded"
)

func TestMakeRoom(t *testing.T) {
	t.Parallel()
	for before, after := range map[int]int{0: 0, 1: 1, 2: 2, 3: 2, 9: 2} {
		entries := make(map[int]string)
		for i := range before {
			entries[i] = "x"
		}
		bounded.MakeRoom(entries, 3)
		require.Len(t, entries, after)
	}
}
