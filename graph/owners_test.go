package graph_test

import (
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/capi-dispatcher/capi-dispatcher/graph"
)

func TestOwnersOfTokens(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write := func(name string) {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte("token"), 0o600))
	}
	write("default")
	write("1")
	require.NoError(t, os.Mkdir(filepath.Join(dir, "..data"), 0o700))
	synctest.Test(t, func(t *testing.T) {
		tokens := graph.NewTokens(dir)
		require.True(t, tokens.Owns("1"))
		for _, nobody := range []string{"2", "default", "..data", ""} {
			require.False(t, tokens.Owns(nobody), nobody)
		}
		write("2")
		require.False(t, tokens.Owns("2"), "the list is a moment old")
		time.Sleep(10 * time.Second)
		require.True(t, tokens.Owns("2"))

		require.NoError(t, os.RemoveAll(dir))
		time.Sleep(10 * time.Second)
		require.True(t, tokens.Owns("1"), "a directory that cannot be read takes nothing away")
	})
}

func TestMadeUpDatasetsCostNoLookAtTheDisk(t *testing.T) {
	tokens := graph.NewTokens(t.TempDir())
	ids := make([]string, 2000)
	for i := range ids {
		ids[i] = strconv.Itoa(i)
	}
	tokens.Owns("1")
	require.Zero(t, testing.AllocsPerRun(1, func() {
		for _, id := range ids {
			tokens.Owns(id)
		}
	}), "opening a directory would allocate")
}
