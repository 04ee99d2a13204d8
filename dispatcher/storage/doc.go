// Package storage watches the streams: how full they are, and what waits in them.
// It makes room in the stream of events where that has a limit, and says when
// room runs short.
//
// A full stream refuses what is published. For events that is the producers'
// trouble; for dead letters it means that events Meta will not take stay where
// they are, and in the way of others. Either is to be seen coming.
//
// What one look costs depends on neither how many datasets nor how many messages
// there are: an info of each stream and of each consumer, and the oldest message
// that waits for each.
package storage
