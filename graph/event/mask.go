package event

import (
	"regexp"
	"unicode"
	"unicode/utf8"
)

// memberName finds what looks like the name of a member.
var memberName = regexp.MustCompile(`"([a-z0-9_]{2,40})"\s*:`)

// Mask hides what a text says that cannot be read as events, and that may hold
// personal data anywhere: every letter and digit becomes an x, but for the names
// of members that Meta documents. What is left shows what is wrong with the
// JSON, at the same offsets.
func Mask(text []byte) []byte {
	known := eventSchema().names(map[string]bool{"data": true})
	masked := make([]byte, 0, len(text))
	at := 0
	for _, found := range memberName.FindAllSubmatchIndex(text, -1) {
		from, to := found[2], found[3]
		if !known[string(text[from:to])] {
			continue
		}
		masked = append(appendMasked(masked, text[at:from]), text[from:to]...)
		at = to
	}
	return appendMasked(masked, text[at:])
}

func appendMasked(dst, text []byte) []byte {
	for len(text) > 0 {
		r, size := utf8.DecodeRune(text)
		if hidden := r >= utf8.RuneSelf || unicode.IsLetter(r) || unicode.IsDigit(r); !hidden {
			dst = append(dst, text[0])
		} else {
			for range size {
				dst = append(dst, 'x')
			}
		}
		text = text[size:]
	}
	return dst
}

// names adds the names of all members, down to the innermost.
func (s schema) names(into map[string]bool) map[string]bool {
	for name, f := range s {
		into[name] = true
		f.members.names(into)
		if f.elements != nil {
			f.elements.members.names(into)
		}
	}
	return into
}
