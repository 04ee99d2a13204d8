package dispatcher

import (
	"cmp"
	"strconv"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/deadletter"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/header"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/parked"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/streams"
	"github.com/capi-dispatcher/capi-dispatcher/graph/event"
)

// A dead letter that its stream refuses, because that is full, missing or denied
// to us, is parked as it is. When it comes back, it is tried again as the letter
// that it is: its events are decided about, and not sent any more. Left among
// the events, they would be sent again and again, and keep others from coming.

// undelivered is a dead letter on its way.
type undelivered struct {
	*deadletter.Letter

	// id is the message id of the letter: there is one, however often it is tried.
	id    string
	tries int // how often it has been parked
}

// deadWord stands before the dataset in the subjects of letters that are parked.
// It keeps them apart from the dataset's events, which are called back; and
// workers that know of no such letters take it for no dataset, so that they do
// not send what is in one.
const deadWord = "dead"

// parkLetters parks letters that the stream of dead letters has refused. What
// cannot be parked either stays where it is.
func (d *Dispatcher) parkLetters(refused []*publication) {
	if len(refused) == 0 {
		return
	}
	now := time.Now()
	waiting := make([]*publication, len(refused))
	for i, p := range refused {
		waiting[i] = d.waitingLetter(p, now)
	}
	stored, refused := d.parking.Publish(waiting)
	d.settleLetters(stored, postponed)
	d.leaveThere(refused)
}

// waitingLetter is a letter as a message that waits.
func (d *Dispatcher) waitingLetter(p *publication, now time.Time) *publication {
	const headers = 1 << 10 // of the schedule, and ours, beside the letter's
	letter, id := p.For.letter, groupID(p.For.entries)
	to := deadWord + "." + cmp.Or(letter.Dataset, deadletter.NoDatasetWord)
	msg := letter.Message(d.cfg.Streams.DeadLetterSubject, d.maxPayload()-headers)
	msg.Subject = d.parkedSubjects().Wait(to, id)
	msg.Header.Set(header.Undelivered, letter.id)
	msg.Header.Set(header.Parked, strconv.Itoa(letter.tries+1))
	return &publication{For: p.For, Msg: msg, Opts: append(
		d.parkedSubjects().Schedule(to, now.Add(d.letterDelay(letter.tries)).Truncate(time.Second).Add(time.Second)),
		jetstream.WithMsgID("park-dead-"+id),
	)}
}

// letterDelay is how long a letter waits for the next try. That has to be while
// the stream still knows the message id: the letter may have been stored, and
// the answer have got lost.
func (d *Dispatcher) letterDelay(tries int) time.Duration {
	return min(d.cfg.Delivery.Park.Delay(tries), streams.LettersDuplicates/2)
}

// isLetter reports whether the message is a dead letter on its way. Only what we
// have parked can be one.
func (m *message) isLetter() bool {
	return m.source.parked() && m.Headers().Get(header.Undelivered) != ""
}

// admitLetter sends a letter on its way again. Its events are counted as what
// they are, and share it.
func (d *Dispatcher) admitLetter(m *message) {
	letter, err := deadletter.Parse(0, m.Data(), m.Headers())
	events := max(1, len(letter.Places))
	if d.makeRoom(m, make([]event.Event, events)) != nil {
		d.giveBackWhole(m)
		return
	}
	if err != nil {
		d.admitUnreadable(m, err)
		return
	}
	m.expect(events)
	on := &undelivered{Letter: &letter, id: m.Headers().Get(header.Undelivered), tries: parked.Count(m.Headers().Get(header.Parked))}
	entries := make([]*entry, events)
	for i := range entries {
		e := &entry{message: m, index: i, lane: lane{dataset: letter.Dataset}, history: newHistory(m, i), letter: on}
		e.dead(letter.Reason, letter.Faults...)
		d.startSpan(e)
		d.meters.received(e)
		entries[i] = e
	}
	d.exits.Add(departure{Lane: exitDead, Value: entries, Size: len(m.Data())})
}
