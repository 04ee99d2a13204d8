// Package event reads server events as Meta's Conversions API documents them.
//
// A message carries either one event or a whole request body with up to
// [MaxEvents] of them; [Decoder.Decode] tells the two apart. Each event keeps
// the exact bytes it arrived as, so that unknown fields pass through untouched
// and ids beyond 2^53 keep every digit.
//
// Meta refuses a whole request for one bad event, so an event is checked here,
// alone, before it may share a batch: all its faults are found at once, each
// with a JSON pointer, a stable code and a sentence for a person. What depends
// on the clock is asked separately, with [Event.CheckTime], because an event
// that was fresh when it was read may be too old when it is sent.
package event
