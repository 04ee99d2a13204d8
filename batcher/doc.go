// Package batcher gathers items into batches, one lane a key, and hands each
// batch to a sender. It knows nothing of what it carries.
//
// # When a batch goes
//
// A lane with nothing in flight sends whatever it has at once, unless its first
// item is to wait for others (Gather). While a batch of the lane is in flight,
// items gather (natural batching); the next batch goes when it is full by count or
// bytes, when its oldest item has lingered, when too many items wait in all lanes
// together, or when the batch before it has come back. So they do while a backlog
// waits outside: an item that has waited for long waits a little more, and batches
// are many times as large.
//
// # Who may send
//
// At most Senders batches are being sent in all, and at most SendersPerLane of
// one lane, so that one slow lane leaves senders for the others. While many
// senders are idle, a lane borrows some for full batches, up to
// SendersPerLaneMax. A lane that has others waiting outside for room (see below)
// borrows only while what it has sent stays within MaxWaiting, as what makes way
// needs room to pass through. Lanes that are ready and find no free sender queue
// up, first come first served, and their batches go on growing until it is their
// turn. A sender that only waits, to try again later, gives its place to others
// with [Batch.Rest].
//
// # Lanes that do not answer
//
// A batch that takes longer than LateAfter, and than twice what its lane's batches
// usually take, is late: it stands aside, and its sender serves others. As many
// may stand aside as there are senders; beyond that late batches keep theirs. Its
// lane sends one batch at a time from then on, and what late lanes send gets half
// of the senders at the most, until one has come back in time. So lanes that do
// not answer, however many begin at the same moment, hold the others up for
// LateAfter at the most, up to twice as many lanes as there are senders.
//
// # Lanes that don't keep up
//
// When many items wait and a lane's oldest has waited for MaxWait, the lane is
// congested: what waits in it is handed to Overflow, so that it does not fill
// the memory that all lanes share.
//
// A lane also overflows when it is in the way: it has half of all items, more
// are behind, for which there is no room, and at the pace at which the lane gets
// done they would have to wait for longer than MaxWait. What is over its next
// batch goes.
//
// # Concurrency
//
// One goroutine owns all lanes; no lock, no goroutine and no timer per lane.
// Each batch runs in a goroutine of its own while it is being sent. A lane
// that becomes empty is forgotten.
package batcher
