package breaker

import (
	"sync"
	"time"
)

// Handful is how many events of a dataset are blamed for refusals with the same
// doubtful code before there is doubt.
const Handful = 8

// Doubts are what is known of datasets of which Meta has refused events alone, with
// codes C that are doubtful: not known to speak of an event, so that they may be a
// setting that refuses everything. No more than a handful of events are blamed for
// such a code, as long as nothing of the dataset is accepted in between. Create it
// with [NewDoubts]. Its methods are safe for concurrent use.
type Doubts[C comparable] struct {
	mu    sync.Mutex
	known map[string]*doubt[C] // by dataset
}

type doubt[C comparable] struct {
	accepted time.Time // when Meta last accepted an event
	refused  map[C]int // events that were refused alone since
	last     time.Time // when the last of these was
}

// NewDoubts returns doubts of which there are none yet.
func NewDoubts[C comparable]() *Doubts[C] {
	return &Doubts[C]{known: make(map[string]*doubt[C])}
}

// RecordAcceptance notes that Meta has accepted an event of a dataset. That ends
// the doubt.
func (d *Doubts[C]) RecordAcceptance(dataset string, now time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	known := d.of(dataset)
	if now.After(known.accepted) {
		known.accepted = now
	}
	clear(known.refused)
}

// Hear notes when Meta last accepted an event of a dataset by what another worker
// says; zero is no news. Refusals that this worker has seen since count on.
func (d *Doubts[C]) Hear(dataset string, at time.Time) {
	if at.IsZero() {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	known := d.of(dataset)
	if at.After(known.accepted) {
		known.accepted = at
	}
	if at.After(known.last) {
		clear(known.refused)
	}
}

// AcceptedAt returns when Meta last accepted an event of a dataset, as far as is
// known.
func (d *Doubts[C]) AcceptedAt(dataset string) time.Time {
	d.mu.Lock()
	defer d.mu.Unlock()
	if known := d.known[dataset]; known != nil {
		return known.accepted
	}
	return time.Time{}
}

// RecordRefusal notes that an event was refused alone. blamed says that it is the
// event's fault: it is one of a handful, or Meta has accepted others since it was
// refused alone before, which is zero if it was not. inDoubt says that the handful
// is full.
func (d *Doubts[C]) RecordRefusal(dataset string, code C, before, now time.Time) (blamed, inDoubt bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	known := d.of(dataset)
	if !before.IsZero() && known.accepted.After(before) {
		return true, false
	}
	if known.refused == nil {
		known.refused = make(map[C]int)
	}
	known.refused[code]++
	known.last = now
	return known.refused[code] <= Handful, known.refused[code] >= Handful
}

// Exist reports whether enough of a dataset's events have been refused alone
// with one code that a setting may be to blame, and not the events.
func (d *Doubts[C]) Exist(dataset string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	known := d.known[dataset]
	if known == nil {
		return false
	}
	for _, events := range known.refused {
		if events >= Handful {
			return true
		}
	}
	return false
}

// of returns what is known of a dataset. If another is forgotten for it, that may
// cost another handful.
func (d *Doubts[C]) of(dataset string) *doubt[C] {
	return kept(d.known, dataset, func(string) bool { return true })
}
