package dispatcher

import (
	"math/rand/v2"
	"sync"
	"time"

	"github.com/capi-dispatcher/capi-dispatcher/graph"
)

// breaker keeps a dataset in trouble from being tried over and over.
//
//	closed ── a batch fails for good ──► open, for longer each time
//	  ▲                                    │ its time is up, or the token is replaced
//	  └── accepted ── half open: one batch is let through, one event at first
//
// The same is kept of single accounts that are not linked to their dataset.
type breaker struct {
	pauses Backoff
	tokens Tokens

	mu     sync.Mutex
	states map[string]*breakerState // only of those in trouble
}

type breakerState struct {
	failures    int
	until       time.Time
	fingerprint string // of the token it failed with
	probing     bool
}

// maxBreakerStates bounds what is remembered: anybody can name datasets.
const maxBreakerStates = 10_000

func newBreaker(pauses Backoff, tokens Tokens) *breaker {
	return &breaker{pauses: pauses, tokens: tokens, states: make(map[string]*breakerState)}
}

// pass is the right to send for a dataset. It has to be given back.
type pass struct {
	breaker *breaker
	dataset string
	// probes: the dataset was in trouble, and this batch finds out whether it
	// still is.
	probes bool
}

func (p *pass) leave() {
	if !p.probes {
		return
	}
	p.breaker.mu.Lock()
	defer p.breaker.mu.Unlock()
	if state := p.breaker.states[p.dataset]; state != nil {
		state.probing = false
	}
}

// enter asks for the right to send for a dataset. If it is denied, until tells
// when to ask again.
func (b *breaker) enter(dataset string) (p *pass, until time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	state := b.states[dataset]
	if state == nil {
		return &pass{}, time.Time{}
	}
	now := time.Now()
	if b.tokens.Fingerprint(dataset) != state.fingerprint {
		state.until, state.fingerprint = now, b.tokens.Fingerprint(dataset)
	}
	switch {
	case now.Before(state.until):
		return nil, state.until
	case state.probing:
		return nil, now.Add(time.Second)
	default:
		state.probing = true
		return &pass{breaker: b, dataset: dataset, probes: true}, time.Time{}
	}
}

// succeeded closes the breaker of a dataset.
func (b *breaker) succeeded(dataset string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.states, dataset)
}

// failed opens the breaker of a dataset and tells until when.
func (b *breaker) failed(dataset string, answer graph.Answer) time.Time {
	return b.open(dataset, b.tokens.Fingerprint(dataset), askedDelay(answer))
}

// pause opens the breaker for a given time that does not count as a failure.
func (b *breaker) pause(dataset string, wait time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	state := b.state(dataset)
	state.fingerprint = b.tokens.Fingerprint(dataset)
	state.until = later(state.until, time.Now().Add(wait))
}

// failedAsset opens the breaker of the account that an event names.
func (b *breaker) failedAsset(e *entry, answer graph.Answer) time.Time {
	return b.open(assetKey(e), "", askedDelay(answer))
}

// assetUntil tells until when the account that an event names is not to be
// tried; zero if it may be.
func (b *breaker) assetUntil(e *entry) time.Time {
	b.mu.Lock()
	defer b.mu.Unlock()
	if state := b.states[assetKey(e)]; state != nil && time.Now().Before(state.until) {
		return state.until
	}
	return time.Time{}
}

func assetKey(e *entry) string {
	a := &e.event.Assets
	return e.lane.dataset + "/" + a.Page + "/" + a.WhatsApp + "/" + a.Instagram
}

func (b *breaker) open(key, fingerprint string, asked time.Duration) time.Time {
	b.mu.Lock()
	defer b.mu.Unlock()
	state, now := b.state(key), time.Now()
	if !now.Before(state.until) { // several batches in flight fail as one
		state.failures++
		state.until = now.Add(max(asked, b.pauses.delay(state.failures-1)))
	}
	state.fingerprint, state.probing = fingerprint, false
	return state.until
}

// state returns what is kept of a key, and forgets the oldest troubles when
// there are too many.
func (b *breaker) state(key string) *breakerState {
	if state := b.states[key]; state != nil {
		return state
	}
	if len(b.states) >= maxBreakerStates {
		for other, state := range b.states {
			if time.Since(state.until) > b.pauses.Max {
				delete(b.states, other)
			}
		}
	}
	state := &breakerState{}
	b.states[key] = state
	return state
}

// delay is the wait after so many waits before it: doubling, with half of it
// at random, so that what fails together does not come back together.
func (b Backoff) delay(before int) time.Duration {
	full := b.Max
	if before < 30 {
		full = min(b.Initial<<before, b.Max)
	}
	return full/2 + rand.N(full/2+1)
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// enter keeps events of datasets and accounts in trouble from being tried:
// they are parked until it may be over. It returns those that may be sent.
func (s *shipment) enter(entries []*entry) []*entry {
	if len(entries) == 0 {
		return nil
	}
	// A short pause is not worth the way through the parked stream.
	const short = 2 * time.Second
	for {
		pass, until := s.breaker.enter(s.lane.dataset)
		if pass != nil {
			s.pass, s.cautious = pass, pass.probes
			return s.enterAssets(entries)
		}
		if wait := time.Until(until); wait > short || s.batch.Rest(s.taking, wait) != nil {
			s.setAside(entries, until)
			return nil
		}
	}
}

func (s *shipment) enterAssets(entries []*entry) []*entry {
	var free []*entry
	for _, e := range entries {
		if until := s.breaker.assetUntil(e); !until.IsZero() {
			s.setAside([]*entry{e}, until)
			continue
		}
		free = append(free, e)
	}
	return free
}

// setAside parks events without having tried them.
func (s *shipment) setAside(entries []*entry, until time.Time) {
	if s.stopping() {
		s.giveBack(entries)
		return
	}
	s.parkUntil(entries, "paused", until)
}
