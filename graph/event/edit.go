package event

import (
	"bytes"
	"cmp"
	"slices"
)

// edit is a change to a stretch of the message: other bytes in its place, or,
// if it is a whole member that is to go, nothing, not even the comma.
type edit struct {
	from, to int64
	instead  string
	remove   bool
}

func (p *parser) replace(from, to int64, instead string) {
	p.edits = append(p.edits, edit{from: from, to: to, instead: instead})
}

// remove takes a kept member out of its object.
func (p *parser) remove(at slot) {
	p.edits = append(p.edits, edit{from: p.kept[at].name, to: p.kept[at].end, remove: true})
}

// edited returns a stretch of a message with edits made. Without any, it is the
// message's own bytes.
func edited(body []byte, from, to int64, edits []edit) []byte {
	if len(edits) == 0 {
		return body[from:to]
	}
	slices.SortFunc(edits, func(a, b edit) int { return cmp.Or(cmp.Compare(a.from, b.from), cmp.Compare(a.to, b.to)) })
	out := make([]byte, 0, to-from+int64(len(edits))*sha256Quoted)
	at := from
	for _, e := range edits {
		if e.from < at { // it is within what is gone
			continue
		}
		out = append(out, body[at:e.from]...)
		at = e.to
		if !e.remove {
			out = append(out, e.instead...)
			continue
		}
		rest := bytes.TrimLeft(body[at:to], space)
		if rest[0] == ',' {
			at = to - int64(len(rest)) + 1
		} else { // it was the last member
			out = bytes.TrimSuffix(bytes.TrimRight(out, space), []byte(","))
		}
	}
	return append(out, body[at:to]...)
}

// space is JSON's white space.
const space = " \t\r\n"

// sha256Quoted is how long a hash is with its quotes.
const sha256Quoted = 66
