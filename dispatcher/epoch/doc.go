// Package epoch knows whether a stream is still the one that messages in flight
// came from.
//
// An acknowledgement names a stream, a consumer and a number, and a stream that
// was deleted and created again has the same names and numbers: an ack for a
// message of the old one would acknowledge a message of the new one that has
// not been sent. So no message is acknowledged, nak'ed or kept in progress
// unless its stream is known to be the same: because a pull has been open at
// its consumer without a break (the server ends it when the consumer is
// deleted), or because a look at the stream has just shown it.
package epoch
