// Package terminal prints what others have written: names of events, words of
// Meta's, of servers and of files. Printed as they are, they could clear the
// screen, change its title, write from right to left, or make up rows of a table.
package terminal

import (
	"fmt"
	"io"
	"strings"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

// Line returns a text for one line, or one cell of a table: whatever is no
// visible character, line breaks and tabs included, is shown as an escape.
func Line(text string) string {
	return escape(text, "", func(out *strings.Builder, r rune, raw string) {
		switch {
		case r == utf8.RuneError && len(raw) == 1:
			fmt.Fprintf(out, `\x%02x`, raw[0])
		case r == '\n':
			out.WriteString(`\n`)
		case r == '\r':
			out.WriteString(`\r`)
		case r == '\t':
			out.WriteString(`\t`)
		case r < utf8.RuneSelf:
			fmt.Fprintf(out, `\x%02x`, r)
		default:
			writeJSONEscape(out, r)
		}
	})
}

// Writer returns a writer for everything that a person or a program reads: what
// is neither visible nor a line break or tab is written as an escape. The escapes
// are those of JSON, so JSON stays what it is.
func Writer(to io.Writer) io.Writer { return &writer{to} }

type writer struct{ to io.Writer }

// Write writes a text, which must not end within a character.
func (w *writer) Write(text []byte) (int, error) {
	if _, err := io.WriteString(w.to, escape(string(text), "\n\t", func(out *strings.Builder, r rune, _ string) {
		writeJSONEscape(out, r)
	})); err != nil {
		return 0, err
	}
	return len(text), nil
}

// escape returns a text with an escape in place of every character that is
// neither visible nor to be kept.
func escape(text, keep string, writeEscape func(out *strings.Builder, r rune, raw string)) string {
	if isPlain(text, keep) {
		return text
	}
	var out strings.Builder
	for len(text) > 0 {
		r, size := utf8.DecodeRuneInString(text)
		if isInvalid := r == utf8.RuneError && size == 1; !isInvalid && (isVisible(r) || strings.ContainsRune(keep, r)) {
			out.WriteString(text[:size])
		} else {
			writeEscape(&out, r, text[:size])
		}
		text = text[size:]
	}
	return out.String()
}

func isPlain(text, keep string) bool {
	for i := range len(text) {
		if c := text[i]; (c < ' ' || c > '~') && strings.IndexByte(keep, c) < 0 {
			return false
		}
	}
	return true
}

// isVisible reports whether a character shows itself, or is a space, and does
// nothing else. It leaves out control characters, those that change the direction
// of writing, join characters or separate lines, and those that nobody has
// defined.
func isVisible(r rune) bool { return unicode.IsGraphic(r) }

func writeJSONEscape(out *strings.Builder, r rune) {
	if high, low := utf16.EncodeRune(r); high != utf8.RuneError {
		fmt.Fprintf(out, `\u%04x\u%04x`, high, low)
		return
	}
	fmt.Fprintf(out, `\u%04x`, r)
}
