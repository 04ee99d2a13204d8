// Package redact takes credentials out of messages and texts.
package redact

import (
	"bytes"
	"encoding/hex"
	"strings"
)

// Access tokens have no business in a message: the dispatcher authenticates
// itself, and what is in a message ends up with Meta, in the parked stream or in
// a dead letter, where others read it. So they are taken out, known by the name
// of the member, by being one of ours, or by their form. sweep.go does it to
// JSON, this file to a text of any kind.

// Secrets are texts that are taken out of messages although their form does not
// give them away.
type Secrets interface {
	// Any reports whether there are some at all.
	Any() bool
	// Holds reports whether a text is one of them.
	Holds(text []byte) bool
}

// The form of an access token: EAA, and letters and digits, no fewer than 80
// characters in all. It may stand anywhere, in a link for example.
const (
	tokenStart  = "EAA"
	tokenLength = 80
)

// The names that credentials go by.
const (
	accessToken = "access_token"
	secretProof = "appsecret_proof"
)

// withheld stands in place of a secret.
const withheld = "[redacted]"

// finder returns where the next text of a kind begins and ends; from is -1 if
// there is none.
type finder func(text []byte) (from, to int)

// HoldsToken reports whether a text holds what looks like an access token.
func HoldsToken(text string) bool {
	if !strings.Contains(text, tokenStart) && !strings.Contains(text, accessToken) &&
		!strings.Contains(text, secretProof) && !strings.Contains(text, escape) {
		return false // nearly always, so nothing is allocated for it
	}
	_, found := Text([]byte(text), nil)
	return found > 0
}

// Text takes secrets out of a text of any kind, and counts them: a message
// that cannot be read, a link, words of others. The text itself is left
// as it is. secrets may be nil.
func Text(text []byte, secrets Secrets) (clean []byte, found int) {
	if !mayHoldSecrets(text, secrets) {
		return text, 0
	}
	clean, found = cutAll(text, valueOf(accessToken), valueOf(secretProof), tokenIn, wordOf(secrets))
	if plain, hidden := cutAll(spellOut(clean), valueOf(accessToken), valueOf(secretProof), tokenIn,
		wordOf(secrets)); hidden > 0 {
		return plain, found + hidden
	}
	return clean, found
}

// mayHoldSecrets reports whether it is worth looking closer. Nearly no message
// is, and each is asked, so this has to be quick.
func mayHoldSecrets(text []byte, secrets Secrets) bool {
	if from, _ := tokenIn(text); from >= 0 {
		return true
	}
	if contains(text, accessToken, 'k') || contains(text, secretProof, 'f') || spellsOut(text) {
		return true
	}
	from, _ := wordOf(secrets)(text)
	return from >= 0
}

// contains reports whether a name occurs, of which one letter is rare in events:
// looking for that is several times as quick as looking for the first.
func contains(text []byte, name string, rare byte) bool {
	before := strings.IndexByte(name, rare)
	for at := 0; ; at++ {
		next := bytes.IndexByte(text[at:], rare)
		if next < 0 {
			return false
		}
		at += next
		if at >= before && bytes.HasPrefix(text[at-before:], []byte(name)) {
			return true
		}
	}
}

// cutAll puts [redacted] in place of everything that is found.
func cutAll(text []byte, finders ...finder) (clean []byte, found int) {
	for _, next := range finders {
		var n int
		text, n = cutEach(text, next)
		found += n
	}
	return text, found
}

func cutEach(text []byte, next finder) (clean []byte, found int) {
	for from, to := next(text); from >= 0; from, to = next(text) {
		clean = append(append(clean, text[:from]...), withheld...)
		text = text[to:]
		found++
	}
	if found == 0 {
		return text, 0
	}
	return append(clean, text...), found
}

// tokenIn finds what has the form of an access token.
func tokenIn(text []byte) (from, to int) {
	for {
		next := bytes.Index(text[to:], []byte(tokenStart))
		if next < 0 {
			return -1, -1
		}
		from = to + next
		for to = from; to < len(text) && isLetterOrDigit(text[to]); {
			to++
		}
		if to-from >= tokenLength {
			return from, to
		}
	}
}

func isLetterOrDigit(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z'
}

// valueOf finds what is assigned to a name, in JSON, in JSON within a string, or
// in a form or link.
func valueOf(name string) finder {
	return func(text []byte) (from, to int) {
		for {
			next := bytes.Index(text[to:], []byte(name))
			if next < 0 {
				return -1, -1
			}
			var assigned bool
			from, assigned = afterMarks(text, to+next+len(name))
			if to = endOfValue(text, from); assigned && to > from {
				return from, to
			}
		}
	}
}

// afterMarks skips what may stand between a name and its value, and reports
// whether a colon or an equals sign was among it.
func afterMarks(text []byte, at int) (end int, assigned bool) {
	for at < len(text) {
		mark, width := markAt(text, at)
		switch mark {
		case ':', '=':
			assigned = true
		case '"', '\'', '\\', ' ', '\t', '\r', '\n':
		default:
			return at, assigned
		}
		at += width
	}
	return at, assigned
}

func endOfValue(text []byte, at int) int {
	for at < len(text) {
		mark, width := markAt(text, at)
		if bytes.IndexByte([]byte("\"'\\ \t\r\n&,;<>{}()[]"), mark) >= 0 {
			break
		}
		at += width
	}
	return at
}

// markAt returns the character at a place, of which a link or a form may spell
// the number.
func markAt(text []byte, at int) (mark byte, width int) {
	if spelled := text[at:]; spelled[0] == '%' && len(spelled) >= 3 {
		var decoded [1]byte
		if _, err := hex.Decode(decoded[:], spelled[1:3]); err == nil {
			return decoded[0], 3
		}
	}
	return text[at], 1
}

// wordOf finds one of the given secrets, between two quotes, or two other marks
// that set words apart.
func wordOf(secrets Secrets) finder {
	return func(text []byte) (from, to int) {
		if secrets == nil || !secrets.Any() {
			return -1, -1
		}
		for to < len(text) {
			for from = to; from < len(text) && setsApart(text[from]); {
				from++
			}
			for to = from; to < len(text) && !setsApart(text[to]); {
				to++
			}
			if to > from && secrets.Holds(text[from:to]) {
				return from, to
			}
		}
		return -1, -1
	}
}

// The marks that set words apart, as sets of bits: each byte of each message is
// looked up.
const (
	marksBelow64 uint64 = 1<<'"' | 1<<'\'' | 1<<' ' | 1<<'\t' | 1<<'\r' | 1<<'\n' | 1<<'&' | 1<<'=' | 1<<',' | 1<<';' |
		1<<'?' | 1<<'#' | 1<<'<' | 1<<'>' | 1<<'(' | 1<<')'
	marksFrom64 uint64 = 1<<('\\'-64) | 1<<('{'-64) | 1<<('}'-64) | 1<<('['-64) | 1<<(']'-64)
)

func setsApart(c byte) bool {
	if c < 64 {
		return marksBelow64>>c&1 != 0
	}
	return c < 128 && marksFrom64>>(c-64)&1 != 0
}

// escape begins the escapes of JSON by which ASCII can be written.
const escape = `\u00`

// spellsOut reports whether a text writes letters, digits, underscores or
// backslashes as escapes: names and tokens may hide behind them.
func spellsOut(text []byte) bool {
	for {
		at := bytes.Index(text, []byte(escape))
		if at < 0 || len(text) < at+len(escape)+2 {
			return false
		}
		text = text[at+len(escape):]
		if high, low := text[0], text[1]; high >= '4' && high <= '7' || high == '3' && low <= '9' {
			return true
		}
	}
}

// spellOut undoes such escapes, and those within a string that was itself
// written as a string, a few times over.
func spellOut(text []byte) []byte {
	const mostTimes = 4
	for range mostTimes {
		if !spellsOut(text) {
			break
		}
		text = spellOutOnce(text)
	}
	return text
}

func spellOutOnce(text []byte) []byte {
	out := make([]byte, 0, len(text))
	for {
		at := bytes.Index(text, []byte(escape))
		if at < 0 || len(text) < at+len(escape)+2 {
			return append(out, text...)
		}
		out = append(out, text[:at]...)
		digits := text[at+len(escape):]
		var c [1]byte
		if _, err := hex.Decode(c[:], digits[:2]); err == nil && (isLetterOrDigit(c[0]) || c[0] == '_' || c[0] == '\\') {
			out = append(bytes.TrimRight(out, `\`), c[0])
			text = digits[2:]
			continue
		}
		out = append(out, escape...)
		text = digits
	}
}
