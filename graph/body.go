package graph

import (
	"io"
	"slices"

	"github.com/capi-dispatcher/capi-dispatcher/graph/event"
)

// Overhead returns how many bytes a request body with this envelope has beside
// its events and the commas between them.
func Overhead(envelope event.Envelope) int {
	const usual = len(`{"data":[]}`) + proofMember
	if envelope == (event.Envelope{}) {
		return usual // nearly always, and it is asked of each event
	}
	return int(sizeOf(requestBody(nil, envelope, ""))) + proofMember
}

// proofMember is the room to reserve for an appsecret_proof.
const proofMember = len(`,"appsecret_proof":""`) + 64

// requestBody lists the pieces of a request body. Events are sent as they
// arrived and are not copied.
func requestBody(events [][]byte, envelope event.Envelope, proof string) [][]byte {
	members := envelope.AppendMembers(nil)
	if proof != "" {
		if len(members) > 0 {
			members = append(members, ',')
		}
		members = append(members, `"appsecret_proof":"`...)
		members = append(members, proof...)
		members = append(members, '"')
	}
	return event.Pieces(members, events...)
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
