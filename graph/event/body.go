package event

import "bytes"

// Pieces lists the pieces of a request body, to be written one after the other:
// events, which are not copied, and beside them members, with commas between
// them and without braces.
func Pieces(members []byte, events ...[]byte) [][]byte {
	comma := []byte(",")
	pieces := append(make([][]byte, 0, 2*len(events)+4), []byte(`{"data":[`))
	for i, e := range events {
		if i > 0 {
			pieces = append(pieces, comma)
		}
		pieces = append(pieces, e)
	}
	pieces = append(pieces, []byte("]"))
	if len(members) > 0 {
		pieces = append(pieces, comma, members)
	}
	return append(pieces, []byte("}"))
}

// Body renders a request body of events, with the members of an envelope, as
// [Envelope.Marshal] writes it, beside them.
func Body(envelope string, events ...[]byte) []byte {
	members := []byte(envelope)
	if envelope != "" {
		members = members[1 : len(members)-1]
	}
	return bytes.Join(Pieces(members, events...), nil)
}
