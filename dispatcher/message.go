package dispatcher

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/capi-dispatcher/capi-dispatcher/dedupe"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/epoch"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/health"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/lease"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/parked"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/streams"
)

// source is a consumer that events are pulled from.
type source struct {
	stream   string
	consumer jetstream.Consumer
	epoch    *epoch.Epoch
	gate     *health.Gate // open while pulling works
	role     streams.Role
	pending  *atomic.Int64

	// Only whoever pulls from the source looks at these.
	checked      time.Time // when the consumer was last looked at
	wrong        bool      // the consumer is not as it has to be
	waits        bool      // for workers with other settings to go
	lastDelivery uint64    // number of the last message that came, as the consumer counts
	lastNew      uint64    // number of the last that came for the first time, as the stream counts
}

// parked reports whether the messages are events that we parked.
func (s *source) parked() bool { return s.role == streams.Parked }

// usable reports whether there is any use in pulling from the source.
func (s *source) usable() bool { return !s.wrong && !s.epoch.Over() }

// saw notes a delivery. Numbers rise while consumer and stream are the same;
// where they do not, somebody asks.
func (s *source) saw(meta *jetstream.MsgMetadata) {
	anew := meta.NumDelivered == 1
	if meta.Sequence.Consumer <= s.lastDelivery || anew && meta.Sequence.Stream <= s.lastNew {
		s.epoch.Doubt()
	}
	s.lastDelivery = meta.Sequence.Consumer
	if anew {
		s.lastNew = meta.Sequence.Stream
		s.epoch.Stored(s.lastNew)
	}
}

// message is one delivery of a JetStream message, in hand until all its events
// are settled.
type message struct {
	jetstream.Msg

	source      *source
	sequence    uint64
	published   time.Time
	redelivered bool
	bytes       int  // what it weighs, and its events once they are admitted
	admitted    bool // its events are in hand

	lease *lease.Lease

	events int // it carries

	mu    sync.Mutex
	open  int           // events not yet settled
	worst outcome       // of the events settled so far
	delay time.Duration // for a nak
}

// owner names the message in claims.
func (m *message) owner() dedupe.Owner { return dedupe.NewOwner(m.source.epoch.ID, m.sequence) }

// replayed reports whether the message is a dead letter that somebody has
// replayed: what we have parked says so.
func (m *message) replayed() bool {
	return m.source.parked() && parked.IsReplay(m.Headers())
}
