package event

import (
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

// placeOf renders a JSON pointer into a message with * for each step that is no
// member that Meta documents. The names of others are the producer's, and may be
// personal data themselves; so may be what looks like an index, because nobody
// can tell an index from a name that is a number.
func (d *Decoder) placeOf(pointer jsontext.Pointer) string {
	if d.names == nil { // else a flood of garbage would have them collected for each message
		d.names = documentedNames()
	}
	var place strings.Builder
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
