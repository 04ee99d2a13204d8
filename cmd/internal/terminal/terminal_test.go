package terminal_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/capi-dispatcher/capi-dispatcher/cmd/internal/terminal"
)

func TestLine(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"": "",
		"Purchase of 3 café crèmes, ‘42’ 👍":  "Purchase of 3 café crèmes, ‘42’ 👍",
		"購入 שלום مرحبا":                      "購入 שלום مرحبا",
		"\x1b]0;title\x07":                   `\x1b]0;title\x07`,
		"\x1b[2J":                            `\x1b[2J`,
		"a\nNUMBER  AGE\r\tb":                `a\nNUMBER  AGE\r\tb`,
		"\u009b2J\u0085\x7f":                 `\u009b2J\u0085\x7f`,
		"\x9b2J\xff":                         `\x9b2J\xff`,
		"a\u202eb\u2066c\u200e\u200f\u061c":  `a\u202eb\u2066c\u200e\u200f\u061c`,
		"a\u2028b\u2029c\u200bd\u200d\ufeff": `a\u2028b\u2029c\u200bd\u200d\ufeff`,
		"\U000e0041\U000f0000":               `\udb40\udc41\udb80\udc00`,
		"the replacement \ufffd is visible":  "the replacement \ufffd is visible",
		"\x00\xc3":                           `\x00\xc3`,
	} {
		require.Equal(t, want, terminal.Line(text))
	}
}

// What is JSON stays the same JSON.
func TestWriterKeepsJSON(t *testing.T) {
	t.Parallel()
	value := map[string]string{"a\u202e": "\x1b[2J \u009b \x7f \u2028 \U000e0041 é\n\t", "b": "plain"}
	var out bytes.Buffer
	require.NoError(t, json.NewEncoder(terminal.Writer(&out)).Encode(value))
	requireHarmless(t, out.String())
	var back map[string]string
	require.NoError(t, json.Unmarshal(out.Bytes(), &back))
	require.Equal(t, value, back)

	out.Reset()
	require.NoError(t, json.NewEncoder(terminal.Writer(&out)).Encode(json.RawMessage("\"a\x9bb\"")))
	require.Equal(t, "\"a\\ufffdb\"\n", out.String(), "an invalid byte would be one of C1 to some terminals")
}

func TestWriterKeepsLinesAndColumns(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	n, err := terminal.Writer(&out).Write([]byte("a\tb\r\n\x1b[2Jc\n"))
	require.NoError(t, err)
	require.Equal(t, len("a\tb\r\n\x1b[2Jc\n"), n)
	require.Equal(t, "a\tb\\u000d\n\\u001b[2Jc\n", out.String())
	_, err = terminal.Writer(broken{}).Write([]byte("a"))
	require.Error(t, err)
}

type broken struct{}

func (broken) Write([]byte) (int, error) { return 0, errors.New("broken") }

func requireHarmless(t *testing.T, text string) {
	t.Helper()
	require.True(t, utf8.ValidString(text))
	for _, r := range text {
		require.True(t, unicode.IsGraphic(r) || r == '\n' || r == '\t', "%q in %q", r, text)
	}
}

func FuzzHarmless(f *testing.F) {
	f.Add("a\x1b[2J\u202e\xff\n")
	f.Fuzz(func(t *testing.T, text string) {
		line := terminal.Line(text)
		requireHarmless(t, line)
		require.NotContains(t, line, "\n")
		require.NotContains(t, line, "\t")
		require.Equal(t, line, terminal.Line(line), "escaped once is escaped for good")
		var out bytes.Buffer
		_, err := terminal.Writer(&out).Write([]byte(text))
		require.NoError(t, err)
		requireHarmless(t, out.String())
	})
}
