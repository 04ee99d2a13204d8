package rawjson

import (
	"bytes"
	"cmp"
	"slices"
)

// Edit is a change to a stretch of a text: other bytes in its place, or, if it is
// a whole member that is to go, nothing, not even the comma.
type Edit struct {
	From, To int64
	Instead  string
	Remove   bool
}

// Edited returns a stretch of a text with edits made. Without any, it is the
// text's own bytes.
func Edited(body []byte, from, to int64, edits []Edit) []byte {
	if len(edits) == 0 {
		return body[from:to]
	}
	slices.SortFunc(edits, func(a, b Edit) int { return cmp.Or(cmp.Compare(a.From, b.From), cmp.Compare(a.To, b.To)) })
	out := make([]byte, 0, to-from+int64(len(edits))*sha256Quoted)
	at := from
	for _, e := range edits {
		if e.From < at { // it is within what is gone
			continue
		}
		out = append(out, body[at:e.From]...)
		at = e.To
		if !e.Remove {
			out = append(out, e.Instead...)
			continue
		}
		rest := bytes.TrimLeft(body[at:to], Space)
		if rest[0] == ',' {
			at = to - int64(len(rest)) + 1
		} else { // it was the last member
			out = bytes.TrimSuffix(bytes.TrimRight(out, Space), []byte(","))
		}
	}
	return append(out, body[at:to]...)
}

// Space is JSON's white space.
const Space = " \t\r\n"

// sha256Quoted is how long a hash is with its quotes.
const sha256Quoted = 66
