package secret_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"

	"github.com/capi-dispatcher/capi-dispatcher/internal/secret"
)

// shown is everything that can be printed of addresses.
func shown(t *testing.T, urls secret.URLs) string {
	t.Helper()
	asJSON, err := json.Marshal(urls)
	require.NoError(t, err)
	asYAML, err := yaml.Marshal(map[string]any{"url": urls})
	require.NoError(t, err)
	return fmt.Sprintf("%s %v %q %#v %+v %s %s %v", urls, urls, urls, urls, struct{ U secret.URLs }{urls}, asJSON, asYAML, urls.Validate())
}

func TestCredentialsAreNotShown(t *testing.T) {
	t.Parallel()
	for given, want := range map[string]string{
		"nats://a:4222":                         "nats://a:4222",
		" nats://a:4222 , nats://b:4222":        "nats://a:4222,nats://b:4222",
		"nats://hush@a:4222":                    "nats://[redacted]@a:4222",
		"nats://user:hush@a:4222,tls://:hush@b": "nats://[redacted]@a:4222,tls://[redacted]@b",
		"nats://user:hu%73h@a":                  "nats://[redacted]@a",
		"redis://:hush@r:6379/1":                "redis://[redacted]@r:6379/1",
		"redis://r:6379/1?password=hush":        "redis://r:6379/1?[redacted]",
		"rediss://user:hush@[::1]:6379/0#hush":  "rediss://[redacted]@[::1]:6379/0",
		"nats://user:p@hush@a":                  "nats://[redacted]@a",
		"nats://user:hush%zz@a":                 "[not a URL]",
		"nats://user:hu%sh@a":                   "[not a URL]",
		"nats://user:hush%@a":                   "[not a URL]",
		"hush@a:4222":                           "[not a URL]",
		"hush@a":                                "[not a URL]",
		"user:hush@a:4222":                      "[not a URL]",
		"//user:hush@a:4222":                    "[not a URL]",
		"nats:user:hush@a":                      "[not a URL]",
		"nats:/user:hush@a":                     "[not a URL]",
		"nats:///user:hush@a":                   "[not a URL]",
		"nats//user:hush@a":                     "[not a URL]",
		"natss://user:hush@a":                   "[not a URL]",
		"hush://a":                              "[not a URL]",
		"nats://user:1/hush@a":                  "[not a URL]",
		"nats://user:1?hush@a":                  "[not a URL]",
		"nats://user:1#hush@a":                  "[not a URL]",
		"nats://user:hush/1@a":                  "[not a URL]",
		"nats://user:1,hush@a":                  "[not a URL]",
		"nats://user:1,hush,nats://b":           "[not a URL]",
		"nats://user:hu sh@a":                   "[not a URL]",
		"nats://user:hush\n@a":                  "[not a URL]",
		"nats://a:4222,hush":                    "[not a URL]",
		"hush":                                  "[not a URL]",
		"nats://user:hush":                      "[not a URL]",
		"nats://user:1%2Fhush%40a":              "[not a URL]",
		"nats://a/user:hush%40b":                "[not a URL]",
		"":                                      "",
	} {
		urls := secret.URLs(given)
		require.Equal(t, want, urls.String(), given)
		require.NotContains(t, shown(t, urls), "hush", given)
		require.Equal(t, want == "[not a URL]", urls.Validate() != nil, given)
		require.Equal(t, strings.Contains(given, "@"), urls.HasCredentials(), given)
	}
}

func TestWhichAddressIsWrong(t *testing.T) {
	t.Parallel()
	require.ErrorContains(t, secret.URLs("nats://a,nats://u:hush%@b,nats://c").Validate(), "address 2 of 3 is not of the form")
	require.ErrorContains(t, secret.URLs("nats://u:hush%@b").Validate(), "%25")
}

// FuzzURLs: however an address is broken, no password in it is shown.
func FuzzURLs(f *testing.F) {
	for _, seed := range []string{"nats://user:|@host:4222", "user:|@host", "nats://|@h,nats://x", "redis://:%|@h/0", "nats://u:1/|@h?a=b", "nats://h/?password=|#|"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		const password = "hush-hush"
		before, after, _ := strings.Cut(text, "|")
		upToHost, _, ok := strings.Cut(after, "@")
		if !ok || strings.Contains(upToHost, "://") { // it is the host's name
			return
		}
		require.NotContains(t, shown(t, secret.URLs(before+password+after)), password)
	})
}

func TestReadFile(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := func(text string) string {
		path := filepath.Join(dir, "secret")
		require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
		return path
	}
	text, err := secret.ReadFile(file(" hush \n"))
	require.NoError(t, err)
	require.Equal(t, "hush", text)
	_, err = secret.ReadFile(file(" \n"))
	require.ErrorContains(t, err, "is empty")
	_, err = secret.ReadFile(filepath.Join(dir, "nowhere"))
	require.ErrorIs(t, err, os.ErrNotExist)
}

func TestReadWord(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "token")
	for text, want := range map[string]string{" hush\n": "", "hush hush": "more than one word", "hüsh": "more than one word", "\n": "is empty"} {
		require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
		word, err := secret.ReadWord(path)
		if want == "" {
			require.NoError(t, err)
			require.Equal(t, "hush", word)
			continue
		}
		require.ErrorContains(t, err, want)
		require.Empty(t, word)
	}
}
