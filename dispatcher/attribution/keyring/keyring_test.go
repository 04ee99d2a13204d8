package keyring_test

import (
	"bytes"
	"encoding/base64"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/attribution/keyring"
)

// line is a key of a file, made of one byte.
func line(id string, b byte) string {
	return id + " " + base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{b}, 32)) + "\n"
}

func parse(t *testing.T, text string) *keyring.Ring {
	t.Helper()
	ring, err := keyring.Parse(text)
	require.NoError(t, err)
	return ring
}

var shop, other = keyring.Scope{Channel: "whatsapp", Account: "102"}, keyring.Scope{Channel: "whatsapp", Account: "103"}

func TestAliasesAreOfOneScopeAndKind(t *testing.T) {
	t.Parallel()
	ring := parse(t, line("k1", 1))
	alias := ring.Alias(shop, keyring.Phone, "x")
	require.Equal(t, []string{alias}, ring.Aliases(shop, keyring.Phone, "x"))
	require.True(t, keyring.IsAlias(alias))
	require.NotContains(t, alias, ".")
	for name, another := range map[string]string{
		"scope": ring.Alias(other, keyring.Phone, "x"), "kind": ring.Alias(shop, keyring.User, "x"), "name": ring.Alias(shop, keyring.Phone, "y"),
		"key":   parse(t, line("k1", 2)).Alias(shop, keyring.Phone, "x"),
		"parts": ring.Alias(keyring.Scope{Channel: "whatsapp1", Account: "02"}, keyring.Phone, "x"),
	} {
		require.NotEqual(t, alias, another, name)
	}
	for _, text := range []string{"", "x", alias + "A", "a.b", strings.Repeat("*", 22)} {
		require.False(t, keyring.IsAlias(text), text)
	}
}

func TestTheFirstKeyWritesAndAllRead(t *testing.T) {
	t.Parallel()
	before, both := parse(t, line("k1", 1)), parse(t, "# of November\n"+line("k2", 2)+"\n"+line("k1", 1))
	after := parse(t, line("k2", 2))
	require.Equal(t, append(after.Aliases(shop, keyring.User, "x"), before.Alias(shop, keyring.User, "x")), both.Aliases(shop, keyring.User, "x"))

	sealed := before.Seal(shop, "click")
	require.Equal(t, sealed, before.Seal(shop, "click"), "to store it again changes nothing")
	require.NotEqual(t, sealed, before.Seal(shop, "another"))
	require.NotContains(t, sealed, "click")
	text, err := both.Open(shop, sealed)
	require.NoError(t, err)
	require.Equal(t, "click", text)
	text, err = after.Open(shop, both.Seal(shop, "click"))
	require.NoError(t, err)
	require.Equal(t, "click", text)

	for name, open := range map[string]func() (string, error){
		"a key that is gone":   func() (string, error) { return after.Open(shop, sealed) },
		"another scope":        func() (string, error) { return before.Open(other, sealed) },
		"another key":          func() (string, error) { return parse(t, line("k1", 3)).Open(shop, sealed) },
		"changed":              func() (string, error) { return before.Open(shop, sealed[:len(sealed)-2]+"AA") },
		"no cipher":            func() (string, error) { return before.Open(shop, "k1.AA") },
		"no base64":            func() (string, error) { return before.Open(shop, "k1.*") },
		"not sealed, as it is": func() (string, error) { return before.Open(shop, "click") },
	} {
		_, err := open()
		require.ErrorIs(t, err, keyring.ErrNotOpened, name)
	}
}

func TestKeyFiles(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "keys")
	require.NoError(t, os.WriteFile(file, []byte(line("k1", 1)), 0o600))
	_, err := keyring.Read(file)
	require.NoError(t, err)
	_, err = keyring.Read(file + "x")
	require.ErrorIs(t, err, os.ErrNotExist)
	var many strings.Builder
	for id := range strings.SplitSeq("abcdefghi", "") {
		many.WriteString(line(id, 1))
	}
	for text, want := range map[string]string{
		"":                                  "holds 0 keys",
		"# " + line("k1", 1):                "holds 0 keys",
		"hush-hush":                         "line 1: is not an id and 32 bytes",
		"k1 aHVzaA==":                       "line 1: is not an id and 32 bytes",
		"\n" + line("k.1", 1):               "line 2: is not an id",
		line("k1", 1) + line("k1", 2):       "line 2: there is a key of that id",
		many.String():                       "holds 9 keys, and not between 1 and 8",
		"k1 " + strings.Repeat("hush!", 20): "line 1",
	} {
		require.NoError(t, os.WriteFile(file, []byte(text), 0o600))
		_, err := keyring.Read(file)
		require.ErrorContains(t, err, want)
		require.NotContains(t, err.Error(), "hush")
	}
}

func FuzzOpen(f *testing.F) {
	ring, err := keyring.Parse(line("k1", 1))
	require.NoError(f, err)
	f.Add(ring.Seal(shop, "click"), "102")
	f.Add("k1.", "102")
	f.Fuzz(func(t *testing.T, sealed, account string) {
		scope := keyring.Scope{Channel: "whatsapp", Account: account}
		if text, err := ring.Open(scope, sealed); err == nil {
			again, err := ring.Open(scope, ring.Seal(scope, text))
			require.NoError(t, err)
			require.Equal(t, text, again)
		}
	})
}
