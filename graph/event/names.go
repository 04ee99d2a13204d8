package event

import (
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
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

// placeOf renders a JSON pointer into a message with * for each step that is no
// member that Meta documents. The names of others are the producer's, and may be
// personal data themselves; so may be what looks like an index, because nobody
// can tell an index from a name that is a number.
func (d *Decoder) placeOf(pointer jsontext.Pointer) string {
	if d.names == nil { // else a flood of garbage would have them collected for each message
		d.names = documentedNames()
	}
	var place strings.Builder
	place.Grow(len(pointer))
	for name := range pointer.Tokens() {
		place.WriteByte('/')
		if d.names[name] {
			place.WriteString(name)
		} else {
			place.WriteByte('*')
		}
	}
	return place.String()
}

// documentedNames are the names of all members that Meta documents, of events
// and of request bodies.
func documentedNames() map[string]bool {
	names := map[string]bool{"data": true, "partner_agent": true, "test_event_code": true}
	var add func(members schema)
	add = func(members schema) {
		for name, f := range members {
			names[name] = true
			if f.elements != nil {
				f = f.elements
			}
			add(f.members)
		}
	}
	add(eventSchema())
	return names
}
