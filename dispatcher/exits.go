package dispatcher

import (
	"slices"

	"github.com/capi-dispatcher/capi-dispatcher/batcher"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/deadletter"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/parked"
)

// exit is a way out that does not lead to Meta.
type exit uint8

const (
	exitDead exit = iota
	exitParked
)

// leaves reports whether an event that has just come in has to leave for
// elsewhere than Meta.
func (e *entry) leaves() bool { return e.reason != "" || !e.until.IsZero() }

// departure is one message on its way out, of one event or of several.
type departure = batcher.Item[exit, []*entry]

// severalInALetter is how many faulty events of one message get a letter each.
// Where there are more, they share one: a message would become a thousand
// otherwise, each with what the message says beside its events.
const severalInALetter = 10

// departures gathers what leaves. Faulty events of one message that have the
// same reason, and belong to the same lane, leave together where there are
// many: as many as fit into mostBytes.
func departures(entries []*entry, mostBytes int) (items []departure) {
	type kind struct {
		message *message
		lane    lane
		reason  deadletter.Reason
	}
	groups := make(map[kind][]*entry)
	var kinds []kind // in order
	for _, e := range entries {
		if e.reason == "" {
			items = append(items, departure{Lane: exitParked, Value: []*entry{e}, Size: len(e.event.Raw)})
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

// letters cuts events into groups of at most so many bytes, and as many ids as go
// into a letter's headers; and of one event at least.
func letters(entries []*entry, mostBytes int) (items []departure) {
	start, size, ids := 0, 0, 0
	for i, e := range entries {
		if i > start && (size+len(e.event.Raw) > mostBytes || ids == deadletter.MostContentIDs) {
			items = append(items, departure{Lane: exitDead, Value: entries[start:i:i], Size: size})
			start, size, ids = i, 0, 0
		}
		if e.history.namedByContent() {
			ids++
		}
		size += len(e.event.Raw) + len(",")
	}
	return append(items, departure{Lane: exitDead, Value: entries[start:], Size: size})
}

// leave carries a batch of departures out. They never had a claim.
func (d *Dispatcher) leave(batch *batcher.Batch[exit, []*entry]) {
	switch batch.Lane {
	case exitDead:
		d.buryTogether(batch.Items)
	case exitParked:
		d.park(slices.Concat(batch.Items...), parked.NotYet)
	}
}
