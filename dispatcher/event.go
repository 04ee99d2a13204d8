package dispatcher

import (
	"crypto/sha256"
	"encoding/hex"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/capi-dispatcher/capi-dispatcher/batcher"
	"github.com/capi-dispatcher/capi-dispatcher/dedupe"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/breaker"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/deadletter"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/header"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/lease"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/metrics"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/parked"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/traces"
	"github.com/capi-dispatcher/capi-dispatcher/graph"
	"github.com/capi-dispatcher/capi-dispatcher/graph/event"
	"github.com/capi-dispatcher/capi-dispatcher/graph/event/redact"
)

// markDead decides that an event goes to the dead letters, and why.
func (e *inFlight) markDead(reason deadletter.Reason, faults ...event.Fault) {
	e.reason, e.faults = reason, faults
}

// lane is what a request has in common: one lane, one batch at a time and
// more.
type lane struct {
	dataset  string
	envelope event.Envelope
}

// inFlight is one event in flight.
type inFlight struct {
	message *message
	index   int // in the message
	event   event.Event
	lane    lane
	asset   graph.Asset // whose dataset has to be found out first; mostly none
	key     dedupe.Key
	holder  dedupe.Holder
	history history
	trace   traces.Event
	series  *metrics.Dataset // as it was named when the event was received
	sought  *sought          // how its person was looked up; mostly nil

	// claimed: the claim in Redis may be ours; certain: it was, when Redis last
	// answered. As long as it is young, no other delivery may send the event.
	claimed, certain bool
	claimedAt        time.Time // when it was asked for
	loaded           bool      // it counts among the dataset's events in flight
	late             bool      // it is parked although its hour is over, for the first time

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
	counted        bool      // as late, when it was parked
	refusedAlone   time.Time // see [breaker.Doubts]; zero if it was not, on the server's clock
	accepted       time.Time // when another worker had an event of the dataset accepted, likewise
	originSubject  string
	originSequence uint64
	// messageID is the id that the producer gave the message; it identifies
	// events without event_id. numbered says that several events share it, so
	// that each is identified by its place as well: its place in the message that
	// was published first.
	messageID string
	numbered  bool
	place     int
	replaces  dedupe.Owner // the claim of the dead letter that this replays
}

// newHistory reads the headers of an event that was parked or replayed, or
// begins a new history. On the events' own stream any producer may have set any
// header, so those that carry our state do not count there.
func newHistory(m *message, index int) history {
	if m.source.parked() {
		return parkedHistory(m, index)
	}
	h := history{
		firstSeen: m.published, since: m.published, place: index,
		originSubject: withoutSecrets(m.Subject), originSequence: m.sequence,
	}
	h.messageID, h.numbered = shortID(m.Header.Get(header.DedupeID)), m.events > 1
	if id := m.Header.Get(nats.MsgIdHdr); id != "" && h.messageID == "" {
		h.messageID, h.numbered = shortID(id), true
	}
	return h
}

func parkedHistory(m *message, index int) history {
	e := parked.Parse(m.Data, m.Header, m.published)
	h := history{
		firstSeen: e.FirstSeen, since: e.FirstSeen,
		attempts: e.Attempts, maybeSent: e.MaybeSent, parked: e.Parked, parkedFor: e.Reason,
		recalled: e.Recalled, early: e.Early, counted: e.Counted, refusedAlone: e.RefusedAlone, accepted: e.Accepted,
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
	if !redact.HoldsToken(text) {
		return text
	}
	clean, _ := redact.Text([]byte(text), nil)
	return string(clean)
}

// dedupeID is what identifies an event without event_id; "" if its producer has
// named neither the event nor the message. An event that has been in a message
// of its own, parked or replayed, keeps the id that it had: the Nats-Msg-Id of
// a replay identifies that replay, and not the event.
func (h *history) dedupeID() string {
	if h.messageID == "" || !h.numbered {
		return h.messageID
	}
	return shortID(h.messageID + "/" + strconv.Itoa(h.place))
}

// item is the event on its way into a batch.
func (e *inFlight) item() batcher.Item[lane, *inFlight] {
	const comma = 1
	return batcher.Item[lane, *inFlight]{
		Lane: e.lane, Value: e, Size: len(e.event.Raw) + comma, Weight: e.message.bytes / e.message.events,
	}
}

func items(events []*inFlight) []batcher.Item[lane, *inFlight] {
	items := make([]batcher.Item[lane, *inFlight], len(events))
	for i, e := range events {
		items[i] = e.item()
	}
	return items
}

func (e *inFlight) identity() dedupe.Key { return e.key }

func (e *inFlight) ofLane() lane { return e.lane }

func (e *inFlight) lease() *lease.Lease { return e.message.lease }

// claim is what is asked of Redis for this event.
func (e *inFlight) claim() dedupe.Claim {
	claim := dedupe.Claim{
		Key: e.key, Owner: e.message.owner(), Holder: e.holder, Remember: e.event.MaxAge() - event.MaxAge,
	}
	claim.Doubtful = e.history.maybeSent > 0
	if !e.message.redelivered {
		// An earlier delivery may have sent it: the right is used up.
		claim.Replaces = e.history.replaces
	}
	return claim
}

func claimsOf(events []*inFlight) []dedupe.Claim {
	claims := make([]dedupe.Claim, len(events))
	for i, e := range events {
		claims[i] = e.claim()
	}
	return claims
}

// leaves reports whether an event that has just come in has to leave for
// elsewhere than Meta.
func (e *inFlight) leaves() bool { return e.reason != "" || !e.until.IsZero() || e.sought.skips() }

// asks reports whether the event's dataset has to be found out first.
func (e *inFlight) asks() bool { return e.asset.ID != "" }

func (e *inFlight) lookup() batcher.Item[graph.Asset, *inFlight] {
	return batcher.Item[graph.Asset, *inFlight]{Lane: e.asset, Value: e, Size: len(e.event.Raw)}
}

// account is what the breaker of accounts knows an event's by.
func (e *inFlight) account() breaker.Account {
	a := &e.event.Assets
	return breaker.Account{Dataset: e.lane.dataset, Page: a.Page, WhatsApp: a.WhatsApp, Instagram: a.Instagram}
}

// An event that neither has an event_id nor comes in a message that is named is
// told from others by its content, as it was published. Where the dispatcher
// changes the content, the next worker sees another one: so the identity travels
// with the event, in Capi-Dedupe-Id.

// contentPrefix begins the name of an event that is named by what was published.
const contentPrefix = "content-"

// nameContent identifies an event by its content as published, where it has no
// other id and what is sent differs from that.
func (h *history) nameContent(e *event.Event) {
	if e.ID != "" || h.messageID != "" || e.Published == nil {
		return
	}
	sum := sha256.Sum256(e.PublishedKey())
	h.messageID, h.numbered = contentPrefix+hex.EncodeToString(sum[:]), false
}

// contentID returns the hash in an id made by nameContent, or "".
func (h *history) contentID() string {
	if !h.namedByContent() {
		return ""
	}
	return strings.TrimPrefix(h.messageID, contentPrefix)
}

// contentIDs are those of events that share a letter; nil if none has one.
func contentIDs(group []*inFlight) []string {
	ids, some := make([]string, len(group)), false
	for i, e := range group {
		ids[i] = e.history.contentID()
		some = some || ids[i] != ""
	}
	if !some {
		return nil
	}
	return ids
}

// namedByContent reports whether the name is the event's own, and not that of the
// message that it came in.
func (h *history) namedByContent() bool {
	return !h.numbered && strings.HasPrefix(h.messageID, contentPrefix)
}

// identify returns what identifies an event: its event_id, else the Nats-Msg-Id
// it was published with, else its content. The consumer's name is part of it,
// so that two pipelines on one stream do not share claims.
func (a *admitter) identify(dataset string, e *event.Event, h *history) dedupe.Key {
	namespace := a.cfg.Streams.Consumer
	switch {
	case e.ID != "" && a.cfg.Identity == ByEventID:
		return dedupe.NewKey(namespace, dataset, "event_id", e.ID)
	case e.ID != "":
		return dedupe.NewKey(namespace, dataset, "event", e.Name, e.ID)
	case h.messageID != "":
		return dedupe.NewKey(namespace, dataset, "message", h.dedupeID())
	default:
		return dedupe.NewKey(namespace, dataset, "content", string(e.ContentKey()))
	}
}

// message is one delivery of a JetStream message, in flight until all its events
// are settled.
type message struct {
	*nats.Msg

	source      *source
	sequence    uint64
	published   time.Time
	redelivered bool
	bytes       int          // what it weighs, and its events once they are admitted
	admitted    bool         // its events are in flight
	trace       traces.Event // of the first of its events that is sampled

	lease *lease.Lease

	events int // it carries

	mu    sync.Mutex
	open  int           // events not yet settled
	worst fate          // of the events settled so far
	delay time.Duration // for a nak
}

// InProgress renews the message's lease.
func (m *message) InProgress() error { return m.Msg.InProgress() }

// owner names the message in claims.
func (m *message) owner() dedupe.Owner { return dedupe.NewOwner(m.source.epoch.ID, m.sequence) }

// replayed reports whether the message is a replayed dead letter: a parked
// event has a header that says so.
func (m *message) replayed() bool {
	return m.source.parked() && parked.IsReplay(m.Header)
}

// isLetter reports whether the message is a dead letter on its way. Only what we
// have parked can be one.
func (m *message) isLetter() bool {
	return m.source.parked() && m.Header.Get(header.Undelivered) != ""
}

// expect says how many events the message carries.
func (m *message) expect(events int) { m.events, m.open = events, events }

// answer sends the server the message's ack, nak or term, as its events have ended.
func (m *message) answer(current bool) error {
	switch {
	case m.worst == abandoned, !current:
		return nil
	case m.worst == returned && m.lease.Lapsed(time.Now()):
		return nil // a late nak would take the message from the worker that has it now
	case m.worst == returned && m.delay > 0:
		return m.NakWithDelay(m.delay)
	case m.worst == returned:
		return m.Nak()
	case m.worst == deadLettered && m.events == 1:
		return m.Respond([]byte("+TERM dead-lettered"))
	default:
		return m.Ack()
	}
}

// settle notes the outcome of one of the message's events, and reports whether it
// was the last.
func (m *message) settle(o outcome) (last bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.open--
	m.worst = max(m.worst, o.fate)
	m.delay = max(m.delay, o.delay)
	return m.open == 0
}
