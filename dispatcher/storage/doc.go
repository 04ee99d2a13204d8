// Package storage watches how full the streams are: it makes room in the
// stream of events where that has a limit, and says when room runs short.
//
// A full stream refuses what is published. For events that is the producers'
// trouble; for dead letters it means that events Meta will not take stay where
// they are, and in the way of others. Either is to be seen coming.
package storage
