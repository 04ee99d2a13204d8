// Package streams defines the streams and consumers that workers share: what they
// have to be, that they are there, and what is wrong with them.
//
// There are three streams: of events, of parked events and of dead letters. The
// first two have a consumer each. A [Set] creates what is missing, where
// [Config.Manage] says so, and verifies the rest. A stream that exists is never
// changed: what cannot work is a [SetupError], which says what to set, and what
// can lose events is warned of. [Settings] go on looking while events flow.
//
// Workers that share a consumer have to agree on two things: how long a lease
// lasts, and what identifies an event. If they do not, events are sent twice,
// and nothing else shows it. So the consumer's metadata hold these settings. A
// worker with others gets an [OtherSettingsError], until [OtherWorkers] has
// seen no sign of the workers with the recorded ones for long enough.
//
// The package knows nothing of what becomes of an event. [Settings] and
// [OtherWorkers] may be asked for their conditions at any time; a [Set] is not
// changed by what it does.
package streams
