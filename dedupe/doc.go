// Package dedupe keeps, in Redis, who may send an event and which events have
// been sent.
//
// # The claim
//
// Every identity (see [NewKey]) has at most one key:
//
//	       SET key "owner holder" NX GET PX window
//	(none) ───────────────────────────────────────► owned ── Confirm: SET key 1 ──► sent
//	   ▲                                              │
//	   └────────── Release: compare and delete ───────┘
//
// The owner is the message that carries the event, not the worker that
// happens to have it (see [NewOwner]); the holder is one delivery of that
// message. When a worker dies, the message's next delivery inherits the
// claim as soon as the dead worker's request must have ended (see [New]).
// Until then it finds it [Held], and so does the delivery of a message that
// is in flight elsewhere, with which a broker does not keep its word. Another
// message with the same identity finds the claim Held, too, and has to wait
// until the first is sent or gone; dropping it right away would lose the
// event whenever the first attempt fails. A claim whose message has vanished
// is taken over once it is older than [Config.Takeover].
//
// # What it costs and what it survives
//
// Claim and Confirm are one pipelined flush each of single-key commands,
// without scripts: they work on any Redis Cluster, also while it moves
// slots. Only keys that have an owner take a second flush with a one-key
// script: copies, redeliveries, and claims that are renewed. The key of a
// sent event takes about 97 bytes in Redis 7.0, that of a claim some 60
// more.
//
// Redis replicates asynchronously, so a failover may forget a claim or a
// marker. That can cost a duplicate, and only if a second copy of the event
// arrives; it can never lose an event. Redis 7.0 or newer is needed.
package dedupe
