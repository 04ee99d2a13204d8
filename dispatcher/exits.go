package dispatcher

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/zap"

	"github.com/capi-dispatcher/capi-dispatcher/batcher"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/admission"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/breaker"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/deadletter"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/health"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/metrics"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/outlet"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/parked"
	"github.com/capi-dispatcher/capi-dispatcher/graph"
	"github.com/capi-dispatcher/capi-dispatcher/graph/event"
	"github.com/capi-dispatcher/capi-dispatcher/graph/event/redact"
)

// exit is a way out that does not lead to Meta.
type exit uint8

const (
	exitDead exit = iota
	exitParked
	exitAwaiting // its webhook
	exitSkipped
)

// departure is one message on its way out, of one event or of several.
type departure = batcher.Item[exit, []*inFlight]

// severalInALetter is how many faulty events of one message get a letter each.
// Where there are more, they share one: a message would become a thousand
// otherwise, each with what the message says beside its events.
const severalInALetter = 10

// departures gathers what leaves. Faulty events of one message that have the
// same reason, and belong to the same lane, leave together where there are
// many: as many as fit into mostBytes.
func departures(events []*inFlight, mostBytes int) (items []departure) {
	type kind struct {
		message *message
		lane    lane
		reason  deadletter.Reason
	}
	groups := make(map[kind][]*inFlight)
	var kinds []kind // in order
	for _, e := range events {
		if e.reason == "" {
			items = append(items, departure{Lane: e.waysOut(), Value: []*inFlight{e}, Size: len(e.event.Raw)})
			continue
		}
		k := kind{message: e.message, lane: e.lane, reason: e.reason}
		if groups[k] == nil {
			kinds = append(kinds, k)
		}
		groups[k] = append(groups[k], e)
	}
	for _, k := range kinds {
		most := mostBytes
		if len(groups[k]) <= severalInALetter {
			most = 0
		}
		items = append(items, letters(groups[k], most)...)
	}
	return items
}

// waysOut is where an event leaves to that is no dead letter.
func (e *inFlight) waysOut() exit {
	switch {
	case e.sought.skips():
		return exitSkipped
	case e.sought.waits():
		return exitAwaiting
	default:
		return exitParked
	}
}

// letters cuts events into groups of at most mostBytes bytes, and of no more
// ids than a letter's headers hold. A group has one event at least.
func letters(events []*inFlight, mostBytes int) (items []departure) {
	start, size, ids := 0, 0, 0
	for i, e := range events {
		if i > start && (size+len(e.event.Raw) > mostBytes || ids == deadletter.MostContentIDs) {
			items = append(items, departure{Lane: exitDead, Value: events[start:i:i], Size: size})
			start, size, ids = i, 0, 0
		}
		if e.history.namedByContent() {
			ids++
		}
		size += len(e.event.Raw) + len(",")
	}
	return append(items, departure{Lane: exitDead, Value: events[start:], Size: size})
}

// leave carries a batch of departures out. They never had a claim.
func (s *settler) leave(batch *batcher.Batch[exit, []*inFlight]) {
	switch batch.Lane {
	case exitDead:
		s.letters.bury(batch.Items)
	case exitParked:
		s.settle(slices.Concat(batch.Items...), toPark(parked.NotYet, time.Time{}))
	case exitAwaiting:
		s.settle(slices.Concat(batch.Items...), toPark(parked.NoWebhook, time.Time{}))
	case exitSkipped:
		s.settle(slices.Concat(batch.Items...), outcome{fate: skipped})
	}
}

// mostInALetter is how many bytes of events go into one letter, so that no event
// has to be cut off for the sake of others.
func (a *admitter) mostInALetter() int { return min(256<<10, a.maxPayload()/2) }

// publication is a message that leaves for a stream, on behalf of events.
type publication = outlet.Publication[leaving]

// leaving is who a publication is for.
type leaving struct {
	events []*inFlight
	letter *undelivered // that the message carries, if it does
}

func eventsOf(publications []*publication) (events []*inFlight) {
	for _, p := range publications {
		events = append(events, p.For.events...)
	}
	return events
}

func (d *Dispatcher) newOutlet(stream, then string) *outlet.Outlet[leaving] {
	set := d.streamSet()
	find := func() error {
		ctx, cancel := context.WithTimeout(d.workCtx, outlet.Timeout)
		defer cancel()
		return d.deps.Rights.Do(ctx, func(ctx context.Context) error {
			_, err := set.Open(ctx, stream)
			return err
		}, d.rightsToOpen(stream)...)
	}
	return outlet.New[leaving](outlet.Config{
		JetStream: d.deps.JetStream, Rights: d.deps.Rights, Log: d.log.With(zap.String("stream", stream)),
		Find: find, Gate: health.NewGate(), Then: then, Beside: d.beside,
	})
}

// parkedSubjects are where events wait, and where they come back.
func (r *run) parkedSubjects() parked.Subjects {
	return parked.Subjects(r.cfg.Streams.ParkedSubject)
}

// waits say how long events are parked.
func (r *run) waits() parked.Waits { return parked.Waits{Backoff: r.cfg.Delivery.Park} }

// destination is the dataset that an event waits for, or auto if that has yet
// to be found out.
func (e *inFlight) destination() string {
	if e.lane.dataset == "" {
		return admission.Auto
	}
	return e.lane.dataset
}

// id names an event in flight for good: the same delivery again has the same id.
func (e *inFlight) id() string {
	return fmt.Sprintf("%x-%x-%x", e.message.source.epoch.ID, e.message.sequence, e.index)
}

// groupID names a group of events of one message likewise.
func groupID(group []*inFlight) string {
	if len(group) == 1 {
		return group[0].id()
	}
	sum := sha256.New()
	for _, e := range group {
		fmt.Fprintf(sum, "%d,", e.index)
	}
	return fmt.Sprintf("%s-%d-%x", group[0].id(), len(group), sum.Sum(nil)[:8])
}

// reasonToPark returns why events are parked that a request with such a verdict has
// left unsent. Each of these is covered by what calls a dataset's events back.
func reasonToPark(verdict graph.Verdict) parked.Reason {
	switch verdict {
	case graph.Paused:
		return parked.Paused
	case graph.Throttled:
		return parked.Throttled
	case graph.Retry:
		return parked.Failing
	case graph.Refused:
		return parked.Refused
	case graph.Unknown, graph.Accepted: // what was accepted is not parked
		return parked.Unknown
	default:
		return parked.Unknown
	}
}

// reasonOf is why events wait after such a verdict.
func reasonOf(v graph.Verdict) breaker.Reason {
	switch v {
	case graph.Paused:
		return breaker.Paused
	case graph.Throttled:
		return breaker.Throttled
	case graph.Refused:
		return breaker.Refused
	default:
		return breaker.Failing
	}
}

// park puts events into the parked stream. Their claims are given up once they are
// safe there: being other messages, they may be sent when they come back. What is
// refused stays where it is.
func (s *settler) park(events []*inFlight, o outcome) {
	now := time.Now()
	publications := make([]*publication, len(events))
	for i, e := range events {
		e.until = later(e.until, o.until)
		e.late = e.timeliness(s.clock.Now()) == metrics.Late
		publications[i] = s.parkedMessage(e, o.reason, s.wakeTime(e, now))
	}
	stored, refused := s.parking.Publish(publications)
	moved := eventsOf(stored)
	for _, e := range moved {
		e.trace.Park(string(o.reason))
	}
	s.release(moved)
	s.end(moved, o)
	s.leaveThere(refused)
}

// leaveThere leaves events where they are that could be stored nowhere else.
func (s *settler) leaveThere(refused []*publication) {
	s.settle(eventsOf(refused), toReturn(s.cfg.Delivery.Park.Delay(0)))
}

// wakeTime is when a parked event comes back, on the server's clock.
func (s *settler) wakeTime(e *inFlight, now time.Time) time.Time {
	before := e.history.parked
	var wait time.Duration
	if e.until.IsZero() {
		wait = s.waits().Delay(before)
	} else {
		wait = s.waits().DelayFor(before, e.until.Sub(now))
	}
	return parked.WakeTime(s.clock.Now(), wait, e.event.ExpiresAt())
}

func (s *settler) parkedMessage(e *inFlight, reason parked.Reason, at time.Time) *publication {
	event, subjects := s.parked(e, reason), s.parkedSubjects()
	return &publication{
		For: leaving{events: []*inFlight{e}}, Msg: event.Message(subjects, e.destination(), e.id()),
		Opts: append(subjects.Schedule(e.destination(), at), jetstream.WithMsgID("park-"+e.id())),
	}
}

// parked is an event as it is to be parked.
func (s *settler) parked(e *inFlight, reason parked.Reason) *parked.Event {
	h := &e.history
	event := &parked.Event{
		Reason: reason, FirstSeen: h.firstSeen,
		Attempts: h.attempts, MaybeSent: h.maybeSent, Parked: h.parked + 1, Early: h.early,
		Counted: h.counted || e.late, RefusedAlone: h.refusedAlone,
		OriginSubject: h.originSubject, OriginSequence: h.originSequence,
		Claim: int64(h.replaces), DedupeID: h.dedupeID(), Trace: nats.Header{},
	}
	event.Data, event.Envelope = pack(e.lane.envelope, e)
	s.injectTrace(e, event.Trace)
	return event
}

// A message that came in has to fit when it goes out again, with our headers:
// what could be neither parked nor dead-lettered would come back for ever.
// JetStream takes 64 KB of headers, and max_payload in all.

// longHeader is what is too long for a header. No more than four of them come
// from a producer, so all fit together with ours.
const longHeader = 8 << 10

// shortID stands in for an id that is too long for a header, or that may be a
// secret. The same id always has the same one.
func shortID(id string) string {
	const most = 256
	if len(id) <= most && !redact.HoldsToken(id) {
		return id
	}
	sum := sha256.Sum256([]byte(id))
	return "sha256-" + hex.EncodeToString(sum[:])
}

// pack renders events of one envelope for a stream: one event as it is, several
// as a request body. The envelope goes into a header; where it is too long for
// that, it stands around the events, as it did in the request body.
func pack(envelope event.Envelope, events ...*inFlight) (data []byte, header string) {
	header = envelope.Marshal()
	if len(events) == 1 && len(header) <= longHeader {
		return events[0].stored(), header
	}
	raw := make([][]byte, len(events))
	for i, e := range events {
		raw[i] = e.stored()
	}
	if len(header) <= longHeader {
		return event.Body("", raw...), header
	}
	return event.Body(header, raw...), ""
}

// maxPayload is the largest message that the server takes, headers and all.
func (r *run) maxPayload() int { return int(r.deps.JetStream.Conn().MaxPayload()) }

// canBeParked reports whether an event may become a message of the parked
// stream: with our headers, it might be more than NATS takes.
func (s *settler) canBeParked(e *inFlight) bool {
	const mostHeaders, messageID = 64 << 10, 512
	most := s.maxPayload()
	if graph.Overhead(e.lane.envelope)+len(e.event.Raw) <= most-mostHeaders && e.sought == nil {
		return true // whatever its headers are
	}
	return s.parkedMessage(e, parked.Congested, time.Now()).Msg.Size()+messageID <= most
}
