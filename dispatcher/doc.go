// Package dispatcher carries events from a JetStream stream to Meta.
//
// # The promise
//
// From the broker's acknowledgement on, every event ends accepted by Meta or in
// the dead-letter stream with the reason, and never anywhere else. None is sent
// twice, but where no protocol can tell: the request left and the answer did
// not come back. Such events are counted and marked, and [Delivery.OnUnknown]
// decides.
//
// # The path of an event
//
//	intake    pull messages, as many as there is room for
//	admit     decode, find the dataset, check       faulty → dead letter
//	batcher   gather per dataset and envelope
//	deliver   claim in Redis → POST → confirm in Redis
//	            duplicates drop out at the claim
//	            a refused batch is halved until the culprit is alone
//	            what may not be sent now is parked
//	settle    ack, nak or terminate the message, once all its events are settled
//
// # What becomes of an event
//
//	              ┌────────────── retry, in process ─────────────┐
//	              ▼                                              │
//	admitted → claimed → POST ─ accepted ─► confirmed ─► ack     │
//	   │          │        ├─ retry, throttled, unknown ─────────┤
//	   │          │        ├─ … for too long, or paused ─► parked │
//	   │          │        └─ refused, alone ─► dead letter
//	   │          ├─ sent before ─► ack (duplicate)
//	   │          └─ held by somebody else ─► nak with a delay
//	   ├─ the same identity is in hand already: wait for that one's outcome
//	   └─ faulty, too old, too large, no dataset ─► dead letter
//
// # Rules
//
// Nothing is acknowledged before its outcome is durable: confirmed in Redis,
// or published to the dead letters or the parked stream and acknowledged there.
// Only settle.go acknowledges.
//
// A POST ends, and is confirmed, before anybody else may claim its events: it is
// begun only on young claims, and older ones are renewed first (see package
// dedupe). So that hardly anybody wants to, the lease of every message is
// renewed while it is in hand. One whose lease has lapsed is let go, neither
// sent nor handed back, for it is somebody else's by now.
//
// What is in hand is bounded, by messages and by bytes, whatever the backlog.
// One dataset's trouble costs no other dataset its place: see packages
// batcher and breaker.
package dispatcher
