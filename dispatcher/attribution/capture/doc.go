// Package capture takes what webhooks tell: from Meta over HTTP ([Receiver]) and from
// partners over NATS ([Reducer]), into the stream of clicks; and from there into the
// index ([Feeder]).
//
// A webhook is answered once everything that it tells is stored, and a body of a
// partner's acknowledged likewise; a record is acknowledged once the index has it. So
// whoever dies on the way has what was left done again by another, which changes
// nothing where it was done already.
package capture
