// Package deadletter is what an event becomes that Meta will not take: its
// original bytes, with headers that say why, where from and how often it was
// tried.
//
// Dead letters are messages of a JetStream stream with subjects
// <root>.<dataset>.<reason>. [Letter] is one of them, in both directions;
// [Box] reads them and puts chosen ones back among the events.
package deadletter
