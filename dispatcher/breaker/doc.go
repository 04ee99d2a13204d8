// Package breaker holds back requests for what is in trouble: datasets, the
// apps whose limits their datasets share, and accounts that are not linked to
// their dataset. It knows nothing of events: callers tell it how requests
// ended, and ask it whether the next may be made.
//
//	closed ── a batch fails for good ──► open, for longer each time
//	  ▲                                    │ its time is up, the token is replaced,
//	  │                                    │ or another worker got through
//	  └── success ── half open: one batch is let through, the probe
//
// # Datasets and apps
//
// A [Breaker] has a circuit for each dataset and each app in trouble. We know apps
// by their tokens only, so datasets that use the same token count as one app.
//
// A sender calls [Breaker.Acquire], and releases the [Permit] when the batch
// has come to its end. While a permit is a probe, its circuits give out no
// other. A permit is not taken back: other batches may have failed since, so
// [Breaker.TurnAway] is asked again before each request.
//
// Callers report how a request ended with [Breaker.RecordSuccess], which
// returns the datasets that need not wait any longer, and
// [Breaker.RecordFailure]. Several batches in flight fail as one: a circuit
// that is open already is not opened for longer. [Breaker.Pause] opens it for a
// given time and counts as no failure.
//
// Events wait elsewhere, so no request of theirs would show that a trouble is
// over: [Breaker.TakeProbes] returns the datasets of which one event is to be
// tried now.
//
// # Accounts
//
// [Accounts] has a circuit for each account that is not linked to its dataset,
// or whose dataset is not known, because the dataset's other accounts are not
// to blame. One that has been waited for for an hour is listed, so that the
// readiness report names it.
//
// # Doubts
//
// [Doubts] counts events that were refused alone with a code that may be a
// setting's: a handful are blamed, then there is doubt until one is accepted.
//
// # What all have in common
//
// Nothing here waits, sends or writes, and the time is that of [time.Now].
// Producers may name any dataset or account, so each type remembers [MaxKept]
// at the most, and forgets names that are made up before others; what is
// forgotten costs a request more, or a handful of events. All are safe for
// concurrent use.
package breaker
