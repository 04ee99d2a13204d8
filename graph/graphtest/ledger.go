package graphtest

import (
	"encoding/json"
	"maps"
	"slices"
	"sync"
	"time"
)

// Event names an accepted event the way Meta would tell events apart.
type Event struct {
	Dataset string `json:"dataset"`
	Name    string `json:"event_name"`
	ID      string `json:"event_id"`
}

// Entry is one acceptance of one event.
type Entry struct {
	Dataset string `json:"dataset"`
	Name    string `json:"event_name"`
	ID      string `json:"event_id"`
	// At is when it was accepted; only with [Config.KeepEvents].
	At time.Time `json:"at,omitzero"`
	// Raw is the event as it was received; only with [Config.KeepEvents].
	Raw json.RawMessage `json:"raw,omitempty"`
	// PartnerAgent and TestEventCode are those of the entry's request.
	PartnerAgent  string `json:"partner_agent,omitempty"`
	TestEventCode string `json:"test_event_code,omitempty"`
}

// Totals are a dataset's requests and events.
type Totals struct {
	Requests int `json:"requests"` // that arrived
	Refused  int `json:"refused"`  // by the rules, not by a fault
	Batches  int `json:"batches"`  // requests whose events were accepted
	Events   int `json:"events"`   // accepted, repetitions included
	Largest  int `json:"largest"`  // events in the largest accepted batch
}

// Ledger records what was accepted. It is safe for concurrent use.
type Ledger struct {
	keep bool

	mu       sync.Mutex
	counts   map[Event]int
	entries  []Entry
	totals   map[string]*Totals
	inFlight int
}

func newLedger(keep bool) *Ledger {
	l := &Ledger{keep: keep}
	l.Reset()
	return l
}

// Reset forgets everything.
func (l *Ledger) Reset() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.counts, l.entries, l.totals = make(map[Event]int), nil, make(map[string]*Totals)
}

// Counts returns how often each event was accepted.
func (l *Ledger) Counts() map[Event]int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return maps.Clone(l.counts)
}

// Entries lists every acceptance, in order; only with [Config.KeepEvents].
func (l *Ledger) Entries() []Entry {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.entries)
}

// Totals returns the totals of a dataset.
func (l *Ledger) Totals(dataset string) Totals {
	l.mu.Lock()
	defer l.mu.Unlock()
	return *l.of(dataset)
}

// Sum returns the totals of all datasets together.
func (l *Ledger) Sum() Totals {
	l.mu.Lock()
	defer l.mu.Unlock()
	var sum Totals
	for _, t := range l.totals {
		sum.Requests += t.Requests
		sum.Refused += t.Refused
		sum.Batches += t.Batches
		sum.Events += t.Events
		sum.Largest = max(sum.Largest, t.Largest)
	}
	return sum
}

// Distinct returns how many different events were accepted, and how many times
// an event was accepted that had been accepted before.
func (l *Ledger) Distinct() (events, again int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, times := range l.counts {
		again += times - 1
	}
	return len(l.counts), again
}

// InFlight returns how many requests are being answered.
func (l *Ledger) InFlight() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.inFlight
}

func (l *Ledger) of(dataset string) *Totals {
	t := l.totals[dataset]
	if t == nil {
		t = &Totals{}
		l.totals[dataset] = t
	}
	return t
}

// arrive notes a request; the function it returns notes its end.
func (l *Ledger) arrive(dataset string) (done func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.of(dataset).Requests++
	l.inFlight++
	return func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.inFlight--
	}
}

func (l *Ledger) refuse(dataset string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.of(dataset).Refused++
}

func (l *Ledger) accept(dataset string, from request, entries []Entry) {
	l.mu.Lock()
	defer l.mu.Unlock()
	t := l.of(dataset)
	t.Batches++
	t.Events += len(entries)
	t.Largest = max(t.Largest, len(entries))
	now := time.Now()
	for _, e := range entries {
		l.counts[Event{Dataset: dataset, Name: e.Name, ID: e.ID}]++
		if l.keep {
			e.At, e.PartnerAgent, e.TestEventCode = now, from.PartnerAgent, from.TestEventCode
			l.entries = append(l.entries, e)
		}
	}
}
