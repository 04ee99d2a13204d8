package dedupe

import (
	"crypto/sha256"
	"encoding/binary"
	"math/rand/v2"
)

// Key is an event's identity, hashed. 14 bytes still fit a 16-byte allocation
// in Redis (one byte more would take 32), and leave the odds of any collision
// among 100 million keys at about one in 10^18.
type Key [14]byte

// NewKey hashes the parts of an identity. Parts are told apart by their
// lengths: ("a", "bc") and ("ab", "c") are different keys.
func NewKey(parts ...string) Key {
	buf := make([]byte, 0, 128)
	for _, part := range parts {
		buf = binary.BigEndian.AppendUint64(buf, uint64(len(part)))
		buf = append(buf, part...)
	}
	sum := sha256.Sum256(buf)
	return Key(sum[:len(Key{})])
}

// Owner names the message that claims an identity. It is never the marker of a
// sent event.
type Owner int64

// sequenceBits leaves room for 140 trillion messages in a stream.
const sequenceBits = 47

// NewOwner names message number sequence of the stream with that epoch.
func NewOwner(epoch Epoch, sequence uint64) Owner {
	return Owner(epoch)<<sequenceBits | Owner(sequence&(1<<sequenceBits-1))
}

// Holder tells one event of one delivery of a message from all others: two
// workers may have the same message in flight, and a message may have the same
// event twice.
type Holder uint64

// NewHolder makes a holder that is like no other, as random as 64 bits are.
func NewHolder() Holder { return Holder(rand.Uint64()) }

// Epoch tells one life of a stream from another: a stream that was deleted and
// created again counts its messages from 1 again.
type Epoch uint16

// NewEpoch derives the epoch of a stream from its name and its creation time,
// in nanoseconds. It is never zero, so that no owner equals the sent marker.
func NewEpoch(stream string, created int64) Epoch {
	sum := sha256.Sum256(binary.BigEndian.AppendUint64([]byte(stream), uint64(created)))
	const epochs = 1<<15 - 1
	return Epoch(binary.BigEndian.Uint16(sum[:])%epochs) + 1
}
