// Package graph sends events to Meta's Conversions API: one POST, one attempt,
// one verdict.
//
// [Client.Send] never retries and never returns an error: whatever happens to a
// request is an [Answer], and every answer has a [Verdict] out of a closed
// list, which says what may be done next:
//
//	accepted   Meta has all the events
//	retry      nothing was processed; the same request may work later
//	throttled  nothing was processed; this dataset is to be slowed down
//	paused     nothing was processed; token, permission or settings are to be
//	           mended first, and the events are not to blame
//	refused    nothing was processed; one event at least is to blame, and the
//	           answer does not say which
//	unknown    the request left and no usable answer came: Meta may have the
//	           events or not
//
// Answers are judged by Graph's error code and subcode, then by the HTTP
// status; never by "type", which reads OAuthException on throttles, bad
// parameters and dead tokens alike, and never by the message, which comes in
// the caller's language.
//
// Access tokens are read from files (see [Tokens]) and travel in the
// Authorization header, never in a URL.
package graph
