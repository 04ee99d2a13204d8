package graph_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/capi-dispatcher/capi-dispatcher/graph"
)

func TestTokens(t *testing.T) {
	t.Parallel()
	synctest.Test(t, readTokens)
}

func readTokens(t *testing.T) {
	dir := t.TempDir()
	tokens := graph.NewTokens(dir)
	_, err := tokens.For("1")
	require.ErrorIs(t, err, graph.ErrNoToken)
	require.Empty(t, tokens.Fingerprint("1"))

	writeFile(t, dir, "default", "  token-default\n")
	_, err = tokens.For("1")
	require.ErrorIs(t, err, graph.ErrNoToken, "what is not there is looked for once a second")
	time.Sleep(time.Second)
	got, err := tokens.For("1")
	require.NoError(t, err)
	require.Equal(t, graph.Secret("token-default"), got)
	before := tokens.Fingerprint("1")
	require.NotContains(t, before, "token")

	writeFile(t, dir, "1", "token-own")
	time.Sleep(time.Second)
	got, err = tokens.For("1")
	require.NoError(t, err)
	require.Equal(t, graph.Secret("token-own"), got)
	require.NotEqual(t, before, tokens.Fingerprint("1"))

	writeFile(t, dir, "2", "")
	_, err = tokens.For("2")
	require.ErrorContains(t, err, "is empty", "an empty file is a mistake, not a wish for the default")
	writeFile(t, dir, "3", "two words")
	_, err = tokens.For("3")
	require.ErrorContains(t, err, "more than one word")
	require.NotContains(t, err.Error(), "two words")
}

// Kubernetes swaps a mounted Secret by renaming a link to another directory.
func TestTokensFollowAMountedSecret(t *testing.T) {
	t.Parallel()
	synctest.Test(t, followMountedSecret)
}

func followMountedSecret(t *testing.T) {
	dir := t.TempDir()
	version := func(name, token string) {
		require.NoError(t, os.Mkdir(filepath.Join(dir, name), 0o700))
		writeFile(t, filepath.Join(dir, name), "1", token)
		require.NoError(t, os.Symlink(name, filepath.Join(dir, "..tmp")))
		require.NoError(t, os.Rename(filepath.Join(dir, "..tmp"), filepath.Join(dir, "..data")))
	}
	version("..v1", "first")
	require.NoError(t, os.Symlink(filepath.Join("..data", "1"), filepath.Join(dir, "1")))
	tokens := graph.NewTokens(dir)
	got, err := tokens.For("1")
	require.NoError(t, err)
	require.Equal(t, graph.Secret("first"), got)
	version("..v2", "second")
	time.Sleep(time.Second)
	got, err = tokens.For("1")
	require.NoError(t, err)
	require.Equal(t, graph.Secret("second"), got)
}

// Whatever copies files may keep their times, and all tokens of a kind are equally
// long.
func TestATokenOfTheSameSizeAndTimeIsSeen(t *testing.T) {
	t.Parallel()
	for name, replace := range map[string]func(t *testing.T, path string, at time.Time){
		"replaced": func(t *testing.T, path string, at time.Time) {
			t.Helper()
			next := writeFile(t, t.TempDir(), "next", "second")
			require.NoError(t, os.Chtimes(next, at, at))
			require.NoError(t, os.Rename(next, path))
		},
		"overwritten": func(t *testing.T, path string, at time.Time) {
			t.Helper()
			// The kernel's clock for files may be a few milliseconds behind.
			for before := changed(t, path); changed(t, path) == before; {
				require.NoError(t, os.WriteFile(path, []byte("second"), 0o600))
				require.NoError(t, os.Chtimes(path, at, at))
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				dir, at := t.TempDir(), time.Now()
				path := writeFile(t, dir, "1", "first!")
				require.NoError(t, os.Chtimes(path, at, at))
				tokens := graph.NewTokens(dir)
				got, err := tokens.For("1")
				require.NoError(t, err)
				require.Equal(t, graph.Secret("first!"), got)
				replace(t, path, at)
				time.Sleep(time.Second)
				got, err = tokens.For("1")
				require.NoError(t, err)
				require.Equal(t, graph.Secret("second"), got)
			})
		})
	}
}

// changed returns when anything of a file was changed last, be it its time.
func changed(t *testing.T, path string) unix.Timespec {
	t.Helper()
	var stat unix.Stat_t
	require.NoError(t, unix.Stat(path, &stat))
	return stat.Ctim
}

func TestSecretsAreNotPrinted(t *testing.T) {
	t.Parallel()
	secret := graph.Secret("hush")
	for _, format := range []string{"%v", "%s", "%q", "%#v", "%+v"} {
		require.NotContains(t, fmt.Sprintf(format, secret), "hush", format)
		require.NotContains(t, fmt.Sprintf(format, struct{ S graph.Secret }{secret}), "hush", format)
	}
	text, err := json.Marshal(secret)
	require.NoError(t, err)
	require.NotContains(t, string(text), "hush")
}

func TestTokensInUseAreKnownAsSecrets(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	const first, second, short = "1234567890|an-app-token-of-ours", "1234567890|the-next-app-token", "too-short-to-know"
	shaped := "EAA" + strings.Repeat("Bx7", 60)
	writeFile(t, dir, "1", first+"\n")
	writeFile(t, dir, "2", short)
	writeFile(t, dir, "3", shaped)
	writeFile(t, dir, "notes.txt", "no token of anybody's, not at all")
	tokens := graph.NewTokens(dir)
	secrets := tokens.Used()
	require.True(t, secrets.Any())
	require.True(t, secrets.Holds([]byte(first)), "before anybody has needed it")
	for _, other := range []string{short, shaped, second, first + "x", "no token of anybody's, not at all"} {
		require.False(t, secrets.Holds([]byte(other)), other)
	}
	writeFile(t, dir, "4", second)
	_, err := tokens.For("4")
	require.NoError(t, err)
	require.True(t, secrets.Holds([]byte(second)))
	require.False(t, graph.NewTokens(filepath.Join(dir, "nowhere")).Used().Any())
}
