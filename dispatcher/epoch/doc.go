// Package epoch tells whether a stream is still the one that messages in flight
// came from.
//
// An acknowledgement names a stream, a consumer and a number, and a stream that
// was deleted and created again has the same names and numbers: what ends a
// message of the old one would end a message of the new one that nobody has
// sent. So nothing is said of a message unless its stream is known to be the
// same: because a pull has been waiting at its consumer without a break, which
// the server ends when the consumer goes, or because the stream has just said
// so.
package epoch
