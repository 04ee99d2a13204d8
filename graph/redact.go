package graph

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// redact takes the token out of what Meta said: Graph repeats it in "Malformed
// access token …". It looks at texts as they have been read, and not at the body:
// there a token that is short, or a word, also stands for a member's name or a
// figure.
func (a *Answer) redact(token Secret) {
	for i, text := range a.Messages {
		a.Messages[i] = token.outOf(text)
	}
	a.TraceID, a.Version = token.outOf(a.TraceID), token.outOf(a.Version)
	if e := a.Error; e != nil {
		e.Type, e.Message = token.outOf(e.Type), token.outOf(e.Message)
		e.UserTitle, e.UserMessage = token.outOf(e.UserTitle), token.outOf(e.UserMessage)
	}
}

// shortToken is how long a token has to be for the same letters within a word to
// be no coincidence.
const shortToken = 16

// outOf returns a text without the secret. A short one is only taken for the
// secret where it is a whole word.
func (s Secret) outOf(text string) string {
	if s == "" {
		return text
	}
	if len(s) >= shortToken {
		return strings.ReplaceAll(text, string(s), s.String())
	}
	var clean strings.Builder
	before := ' ' // what stands before the rest of the text
	for {
		at := strings.Index(text, string(s))
		if at < 0 {
			return clean.String() + text
		}
		end := at + len(s)
		if at > 0 {
			before, _ = utf8.DecodeLastRuneInString(text[:at])
		}
		after, _ := utf8.DecodeRuneInString(text[end:])
		clean.WriteString(text[:at])
		if isWordRune(before) || isWordRune(after) {
			clean.WriteString(text[at:end])
		} else {
			clean.WriteString(s.String())
		}
		before, _ = utf8.DecodeLastRuneInString(text[:end])
		text = text[end:]
	}
}

func isWordRune(r rune) bool {
	return r != utf8.RuneError && (r == '_' || unicode.IsLetter(r) || unicode.IsDigit(r))
}
