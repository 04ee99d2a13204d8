package dispatcher

import (
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"go.opentelemetry.io/otel/trace"

	"github.com/capi-dispatcher/capi-dispatcher/batcher"
	"github.com/capi-dispatcher/capi-dispatcher/dedupe"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/deadletter"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/header"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/lease"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/metrics"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/parked"
	"github.com/capi-dispatcher/capi-dispatcher/graph"
	"github.com/capi-dispatcher/capi-dispatcher/graph/event"
)

// lane is what a request has in common: one lane, one batch at a time and
// more.
type lane struct {
	dataset  string
	envelope event.Envelope
}

// entry is one event in hand.
type entry struct {
	message *message
	index   int // in the message
	event   event.Event
	lane    lane
	asset   graph.Asset // whose dataset has to be found out first; mostly none
	key     dedupe.Key
	holder  dedupe.Holder
	history history
	span    trace.Span
	series  *metrics.Dataset // as it was named when the event was received

	// claimed: the claim in Redis may be ours; certain: it was, when Redis last
	// answered. Nobody else may send for as long as it is young.
	claimed, certain bool
	claimedAt        time.Time // when it was asked for
	loaded           bool      // it counts among the dataset's events in flight

	// Why and how the event leaves, where it does not leave for Meta.
	reason deadletter.Reason
	faults []event.Fault
	answer *graph.Answer
	until  time.Time    // earliest end of being parked
	letter *undelivered // it is one already, on its way, of all the message's events
}

// history is what happened to an event before this delivery, and since.
type history struct {
	firstSeen      time.Time
	since          time.Time // firstSeen, or when it was replayed
	attempts       int       // requests it was in
	maybeSent      int       // of these, how many of unknown outcome
	parked         int       // times
	parkedFor      parked.Reason
	recalled       time.Time // when it was called back, if it was
	early          int       // times that Meta took it for one of the future
	refusedAlone   time.Time // see [breaker.Doubts]; zero if it was not, on the server's clock
	accepted       time.Time // when another worker had an event of the dataset accepted, likewise
	originSubject  string
	originSequence uint64
	// messageID is what the producer has named the message, to tell events
	// without event_id apart; numbered says that the name is that of several
	// events, so that each needs its place as well: its place in the message
	// that was published first.
	messageID string
	numbered  bool
	place     int
	replaces  dedupe.Owner // the claim of the dead letter that this replays
}

// newHistory reads what is written on an event that we have parked, or that
// somebody has replayed, or begins anew. Anybody may have written what is on
// the events' own stream: there, no header that carries our state counts.
func newHistory(m *message, index int) history {
	if m.source.parked() {
		return parkedHistory(m, index)
	}
	h := history{
		firstSeen: m.published, since: m.published, place: index,
		originSubject: withoutSecrets(m.Subject()), originSequence: m.sequence,
	}
	h.messageID, h.numbered = shortID(m.Headers().Get(header.DedupeID)), m.events > 1
	if id := m.Headers().Get(nats.MsgIdHdr); id != "" && h.messageID == "" {
		h.messageID, h.numbered = shortID(id), true
	}
	return h
}

func parkedHistory(m *message, index int) history {
	e := parked.Parse(m.Data(), m.Headers(), m.published)
	h := history{
		firstSeen: e.FirstSeen, since: e.FirstSeen,
		attempts: e.Attempts, maybeSent: e.MaybeSent, parked: e.Parked, parkedFor: e.Reason,
		recalled: e.Recalled, early: e.Early, refusedAlone: e.RefusedAlone, accepted: e.Accepted,
		originSubject: e.OriginSubject, originSequence: e.OriginSequence,
		messageID: shortID(e.DedupeID), numbered: m.events > 1, place: index,
		replaces: dedupe.Owner(e.Claim),
	}
	if len(e.Places) == m.events {
		h.place = e.Places[index]
	}
	if len(e.ContentIDs) == m.events && e.ContentIDs[index] != "" {
		h.messageID, h.numbered = contentPrefix+e.ContentIDs[index], false
	}
	if m.replayed() {
		h.since = m.published
	}
	return h
}

// withoutSecrets is a text of a producer's that is stored with the event.
func withoutSecrets(text string) string {
	if !event.HoldsToken(text) {
		return text
	}
	clean, _ := event.Redact([]byte(text), nil)
	return string(clean)
}

// dedupeID is what identifies an event without event_id; "" if its producer has
// named neither the event nor the message. An event that has been in a message
// of its own, parked or replayed, keeps what it had: the id of that message
// tells a replay from another, and not the event.
func (h *history) dedupeID() string {
	if h.messageID == "" || !h.numbered {
		return h.messageID
	}
	return shortID(h.messageID + "/" + strconv.Itoa(h.place))
}

// item is the entry on its way into a batch.
func (e *entry) item() batcher.Item[lane, *entry] {
	const comma = 1
	return batcher.Item[lane, *entry]{Lane: e.lane, Value: e, Size: len(e.event.Raw) + comma}
}

func (e *entry) lease() *lease.Lease { return e.message.lease }

// claim is what is asked of Redis for this event.
func (e *entry) claim() dedupe.Claim {
	claim := dedupe.Claim{Key: e.key, Owner: e.message.owner(), Holder: e.holder, Remember: e.event.MaxAge() - event.MaxAge}
	claim.Doubtful = e.history.maybeSent > 0
	if !e.message.redelivered {
		// An earlier delivery may have sent it: the right is used up.
		claim.Replaces = e.history.replaces
	}
	return claim
}

func claimsOf(entries []*entry) []dedupe.Claim {
	claims := make([]dedupe.Claim, len(entries))
	for i, e := range entries {
		claims[i] = e.claim()
	}
	return claims
}

// outcome is how an event's time in hand ends. The order is the order in which
// a message with several events takes its own fate from theirs.
type outcome uint8

const (
	accepted     outcome = iota
	duplicate            // accepted before
	deadLettered         // in the dead-letter stream
	postponed            // in the parked stream
	returned             // given back to the server, for another try
	dropped              // let go: it is not ours any more
)

func (o outcome) String() string {
	return [...]string{"accepted", "duplicate", "dead_lettered", "parked", "returned", "dropped"}[o]
}
