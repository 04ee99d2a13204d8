package graph

import (
	"io"
	"slices"

	"github.com/capi-dispatcher/capi-dispatcher/graph/event"
)

const (
	bodyStart = `{"data":[`
	bodyEnd   = `}`
)

// Overhead tells how many bytes a request body with this envelope has beside
// its events and the commas between them.
func Overhead(envelope event.Envelope) int {
	return len(bodyStart) + len(requestTail(envelope, "")) + proofMember
}

// proofMember is the room to reserve for an appsecret_proof.
const proofMember = len(`,"appsecret_proof":""`) + 64

// requestTail is the body after the last event.
func requestTail(envelope event.Envelope, proof string) []byte {
	tail := []byte("]")
	if envelope != (event.Envelope{}) {
		tail = envelope.AppendMembers(append(tail, ','))
	}
	if proof != "" {
		tail = append(tail, `,"appsecret_proof":"`...)
		tail = append(tail, proof...)
		tail = append(tail, '"')
	}
	return append(tail, bodyEnd...)
}

// requestBody lists the pieces of a request body. Events are sent as they
// arrived and are not copied.
func requestBody(events [][]byte, envelope event.Envelope, proof string) [][]byte {
	pieces := make([][]byte, 0, 2*len(events)+2)
	pieces = append(pieces, []byte(bodyStart))
	for i, event := range events {
		if i > 0 {
			pieces = append(pieces, []byte(","))
		}
		pieces = append(pieces, event)
	}
	return append(pieces, requestTail(envelope, proof))
}

func sizeOf(pieces [][]byte) (size int64) {
	for _, p := range pieces {
		size += int64(len(p))
	}
	return size
}

// pieceReader reads pieces one after the other.
type pieceReader struct {
	pieces [][]byte
	at     int // into the first piece
}

func newPieceReader(pieces [][]byte) io.ReadCloser {
	return io.NopCloser(&pieceReader{pieces: slices.Clone(pieces)})
}

// Read fills p from as many pieces as it takes: one event at a time would cost
// a write to the network each.
func (r *pieceReader) Read(p []byte) (n int, err error) {
	for n < len(p) && len(r.pieces) > 0 {
		copied := copy(p[n:], r.pieces[0][r.at:])
		n += copied
		r.at += copied
		if r.at == len(r.pieces[0]) {
			r.pieces, r.at = r.pieces[1:], 0
		}
	}
	if n == 0 && len(p) > 0 {
		return 0, io.EOF
	}
	return n, nil
}
