// Package streams defines the streams and consumers that workers share: what they
// have to be, that they are there, and what is wrong with them.
//
// There are three streams: of events, of parked events and of dead letters. The
// first two have a consumer each. A [Set] creates what is missing, where that is
// ours to do, and verifies the rest. A stream that exists is never changed: what
// cannot work is a [SetupError], which says what to set, and what can lose events
// is warned of. [Settings] go on looking while events flow.
//
// Workers that share a consumer have to agree on what they reckon by: until when
// a message is theirs, and what tells one event from another. Nothing else would
// show that they do not, but events that are sent twice. So the consumer's
// metadata say what has been agreed on. Whoever finds something else there gets an
// [OtherSettingsError], until [OtherWorkers] has seen nothing of them for long
// enough.
//
// The package knows nothing of what becomes of an event. [Settings] and
// [OtherWorkers] may be asked for their conditions at any time; a [Set] is not
// changed by what it does.
package streams
