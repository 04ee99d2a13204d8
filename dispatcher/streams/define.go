package streams

import (
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// Role is what a stream is for.
type Role int

// The streams.
const (
	Events      Role = iota
	Parked           // events that wait
	DeadLetters      // events that Meta will not take; no consumer of ours
)

// consumed lists the streams that workers pull from.
func consumed() []Role { return []Role{Events, Parked} }

// Name returns the name of the stream in that role.
func (c Config) Name(role Role) string {
	return []string{Events: c.Stream, Parked: c.ParkedStream, DeadLetters: c.DeadLetterStream}[role]
}

const (
	// leastWindow is the shortest memory of message ids that NATS allows. The
	// events' stream has many producers and datasets, and one name space for all
	// their ids; copies are recognised in Redis, in each dataset.
	leastWindow = 100 * time.Millisecond
	// LettersDuplicates is the window in which the stream of dead letters knows
	// copies. It can be no longer than the letters are kept.
	LettersDuplicates = time.Hour
)

// definition is a stream as we would create it.
type definition struct {
	jetstream.StreamConfig

	role                    Role
	ageSetting, sizeSetting string // what the settings are called; "" if there are none
}

// definitions lists the streams, by their roles.
func (c Config) definitions() []definition {
	return []definition{
		{
			role: Events, ageSetting: c.Setting("max_age"), sizeSetting: c.Setting("max_bytes"),
			StreamConfig: jetstream.StreamConfig{
				Name: c.Stream, Subjects: []string{c.Subject + ".>"}, Replicas: c.Replicas,
				Description: "conversion events for Meta",
				Retention:   jetstream.LimitsPolicy, MaxAge: c.MaxAge, MaxBytes: limit(c.MaxBytes), Discard: jetstream.DiscardNew,
				Duplicates: leastWindow, AllowDirect: true,
			},
		},
		{role: Parked, StreamConfig: jetstream.StreamConfig{
			Name: c.ParkedStream, Subjects: []string{c.ParkedSubject + ".>"}, Replicas: c.Replicas,
			Description: "conversion events that wait for their time",
			// Schedules and discard new exclude each other (NATS 2.15). Without
			// limits nothing is ever discarded.
			Retention:  jetstream.WorkQueuePolicy,
			Duplicates: 2 * time.Minute, AllowDirect: true, AllowMsgSchedules: true,
		}},
		{
			role: DeadLetters, ageSetting: c.Setting("dead_letter_max_age"), sizeSetting: c.Setting("dead_letter_max_bytes"),
			StreamConfig: jetstream.StreamConfig{
				Name: c.DeadLetterStream, Subjects: []string{c.DeadLetterSubject + ".>"}, Replicas: c.Replicas,
				Description: "conversion events that Meta will not take, and why",
				Retention:   jetstream.LimitsPolicy, MaxAge: c.DeadLetterMaxAge, MaxBytes: limit(c.DeadLetterMaxBytes),
				// Full, it refuses: what is not stored is parked.
				Discard:    jetstream.DiscardNew,
				Duplicates: LettersDuplicates, AllowDirect: true,
			},
		},
	}
}

// limit returns a size as the server has it: no limit is -1.
func limit(size int) int64 {
	if size == 0 {
		return -1
	}
	return int64(size)
}

// consumer returns what the protocol needs. There is no limit on deliveries,
// which would strand messages for good, and no server-side backoff, which would
// stretch our own delays.
func (c Config) consumer(role Role) jetstream.ConsumerConfig {
	filter := c.Subject + ".>"
	if role == Parked {
		filter = c.ParkedSubject + ".due.>"
	}
	return jetstream.ConsumerConfig{
		Durable: c.Consumer, Description: "workers of capi-dispatcher",
		FilterSubject: filter,
		AckPolicy:     jetstream.AckExplicitPolicy,
		AckWait:       c.AckWait,
		MaxDeliver:    -1,
		MaxAckPending: c.MaxAckPending,
	}
}
