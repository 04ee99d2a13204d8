// Package dedupe keeps, in Redis, who may send an event and which events have
// been sent.
//
// # The claim
//
// Every identity (see [NewKey]) has at most one key:
//
//	         SET key owner NX GET PX window
//	(none) ───────────────────────────────► owner ── Confirm: SET key 1 ──► sent
//	   ▲                                      │
//	   └───── Release: compare and delete ────┘
//
// The owner is the message that carries the event, not the worker that happens
// to hold it (see [NewOwner]). When a worker dies, the redelivered message
// meets its own claim and goes on at once: no lease to renew, none to wait for.
// Another message with the same identity finds the claim [Held] and has to wait
// until the first is sent or gone; dropping it right away would lose the event
// whenever the first attempt fails. A claim whose message has vanished is taken
// over once it is older than [Config.Takeover].
//
// # What it costs and what it survives
//
// Claim and Confirm are one pipelined flush each of single-key commands,
// without scripts: they work on any Redis Cluster, also while it moves slots.
// Only contested keys take a second flush with a one-key script. A key takes
// about 97 bytes in Redis 7.0.
//
// Redis replicates asynchronously, so a failover may forget a claim or a
// marker. That can cost a duplicate, and only if a second copy of the event
// arrives; it can never lose an event. Redis 7.0 or newer is needed.
package dedupe
