// Package parked is where events wait that may not be sent now: a JetStream
// stream with schedules.
//
// A parked event is a message on <root>.wait.<dataset>.<id>. When its time has
// come, the NATS server itself moves it to <root>.due.<dataset>, where a consumer
// finds it (NATS 2.12, ADR-51). Until then it holds no memory in a worker and no
// place in a consumer. [Event] is one of them, in both directions, and [Reason]
// says why it waits.
//
// [Waker] makes events come back before their time: those of a dataset that has
// recovered, a page at a time, and one or a few to find out whether it has.
// [Sweeper] looks for those that the server has forgotten.
//
// What is woken is replaced and not deleted: the event is in the stream at
// every moment, under one number, and to wake it by an older number is refused.
// So a worker may die at any point, and several may wake the same events; each
// comes back once, or, where the server carries its schedule out at that very
// moment, as two copies of one identity.
//
// The package knows nothing of the path that events take: whether a dataset may
// be sent for, and whether there is room, it asks its [Path]. Its types are safe
// for concurrent use, but that one goroutine runs a Waker.
package parked
