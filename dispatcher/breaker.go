package dispatcher

import (
	"slices"
	"sync"
	"time"

	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/metrics"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/retry"
	"github.com/capi-dispatcher/capi-dispatcher/graph"
)

// breaker keeps those in trouble from being tried over and over: datasets, and
// apps, whose limits all their datasets share. We know apps by their tokens
// only, so datasets that use the same token count as one app.
//
//	closed ── a batch fails for good ──► open, for longer each time
//	  ▲                                    │ its time is up, the token is replaced,
//	  │                                    │ or another worker got through
//	  └── accepted ── half open: one batch is let through, one event at first
//
// Accounts that are not linked to their dataset are kept apart: see accounts.
type breaker struct {
	pauses retry.Backoff
	tokens Tokens
	known  func(dataset string) bool // and not just a name that somebody has made up

	mu     sync.Mutex
	states map[string]*trouble // only of those in trouble
}

// trouble is what is known of a dataset, or of an app, that may not be sent for.
type trouble struct {
	failures int
	reason   metrics.Reason
	began    time.Time
	since    time.Time // the last failure
	until    time.Time
	probing  bool
	token    string    // fingerprint of the one it failed with
	called   int       // how often an event has been called back for a trial
	callAt   time.Time // when the next one is
	// turnedAway are the datasets that wait for an app.
	turnedAway map[string]struct{}
}

// maxTroubles bounds what is remembered: anybody can name datasets. A trouble
// that is forgotten costs one more request.
const maxTroubles = 10_000

func newBreaker(pauses retry.Backoff, tokens Tokens, known func(string) bool) *breaker {
	return &breaker{pauses: pauses, tokens: tokens, known: known, states: make(map[string]*trouble)}
}

// appOf is the key of the app that a token belongs to. Datasets are digits.
func appOf(token string) string { return "app of " + token }

// pass is the right to send for a dataset. It has to be given back.
type pass struct {
	breaker *breaker
	probed  []string
}

// probes tells that the dataset or its app was in trouble, and that this batch
// finds out whether it still is.
func (p *pass) probes() bool { return len(p.probed) > 0 }

func (p *pass) leave() {
	if !p.probes() {
		return
	}
	p.breaker.mu.Lock()
	defer p.breaker.mu.Unlock()
	for _, key := range p.probed {
		if state := p.breaker.states[key]; state != nil {
			state.probing = false
		}
	}
}

// enter asks for the right to send for a dataset. If it is denied, until tells
// when to ask again. news is when another worker saw the dataset well, if it did.
func (b *breaker) enter(dataset string, news time.Time) (p *pass, until time.Time) {
	token := b.tokens.Fingerprint(dataset)
	b.mu.Lock()
	defer b.mu.Unlock()
	now := time.Now()
	p = &pass{breaker: b}
	for _, key := range []string{appOf(token), dataset} {
		state := b.states[key]
		if state == nil {
			continue
		}
		state.hear(now, token, news)
		if until := state.bars(now); !until.IsZero() {
			b.turnAway(state, key, dataset)
			return nil, until
		}
		p.probed = append(p.probed, key)
	}
	for _, key := range p.probed {
		b.states[key].probing = true
	}
	return p, time.Time{}
}

// hear ends the wait when there is reason to hope: a new token, or another
// worker that got through.
func (t *trouble) hear(now time.Time, token string, news time.Time) {
	if token != t.token || news.After(t.since) && now.Before(t.until) {
		t.token, t.until = token, now
	}
}

// bars tells until when nobody may try; zero if somebody may.
func (t *trouble) bars(now time.Time) time.Time {
	switch {
	case now.Before(t.until):
		return t.until
	case t.probing:
		return now.Add(time.Second)
	default:
		return time.Time{}
	}
}

// turnAway remembers a dataset that waits for its app. Names that somebody has
// made up cannot keep a known one from being remembered.
func (b *breaker) turnAway(t *trouble, key, dataset string) {
	if key == dataset || len(t.turnedAway) >= maxTroubles && !b.known(dataset) {
		return
	}
	if t.turnedAway == nil {
		t.turnedAway = make(map[string]struct{})
	}
	t.turnedAway[dataset] = struct{}{}
}

// shut tells until when a dataset, or its app, is barred by what has happened
// since the pass was given out; zero if it is not.
func (b *breaker) shut(dataset string, p *pass) time.Time {
	token := b.tokens.Fingerprint(dataset)
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, key := range []string{appOf(token), dataset} {
		state := b.states[key]
		if state != nil && !slices.Contains(p.probed, key) && time.Now().Before(state.until) {
			b.turnAway(state, key, dataset)
			return state.until
		}
	}
	return time.Time{}
}

// succeeded closes the breaker of a dataset and of its app, unless they have
// failed since the request was begun. It returns the datasets that have
// recovered by that.
func (b *breaker) succeeded(dataset, token string, begun time.Time) (recovered []string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, key := range []string{appOf(token), dataset} {
		state := b.states[key]
		if state == nil || begun.Before(state.since) {
			continue
		}
		delete(b.states, key)
		recovered = append(recovered, dataset)
		for other := range state.turnedAway {
			recovered = append(recovered, other)
		}
	}
	slices.Sort(recovered)
	return slices.Compact(recovered)
}

// failed opens the breaker of a dataset, or of its app if that is to blame,
// because of a request that was made with a token. It tells until when, and
// whether that is news.
func (b *breaker) failed(dataset, token string, answer *graph.Answer) (until time.Time, news bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	key := toBlame(dataset, token, answer.AppWide())
	state, now := b.state(key, token), time.Now()
	state.blame(reasonOf(answer.Verdict), now)
	b.turnAway(state, key, dataset)
	state.since, state.token, state.probing = now, token, false
	state.called, state.callAt = 0, time.Time{}
	if !now.Before(state.until) { // several batches in flight fail as one
		state.failures++
		state.until = now.Add(max(askedDelay(*answer), b.pauses.Delay(state.failures-1)))
		return state.until, true
	}
	return state.until, false
}

// pause opens the breaker for a given time that does not count as a failure.
func (b *breaker) pause(dataset, token string, appWide bool, wait time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	state, now := b.state(toBlame(dataset, token, appWide), token), time.Now()
	state.blame(metrics.Throttled, now)
	state.since, state.token = now, token
	state.until = later(state.until, now.Add(wait))
}

// toBlame is whose breaker opens.
func toBlame(dataset, token string, appWide bool) string {
	if appWide {
		return appOf(token)
	}
	return dataset
}

// state returns what is kept of a key, and forgets another when there are too
// many.
func (b *breaker) state(key, token string) *trouble {
	if state := b.states[key]; state != nil {
		return state
	}
	if len(b.states) >= maxTroubles {
		delete(b.states, b.victim())
	}
	state := &trouble{token: token}
	b.states[key] = state
	return state
}

// victim is whose trouble is forgotten: a dataset's that nobody knows, if there
// is one.
func (b *breaker) victim() (key string) {
	for key = range b.states {
		if graph.IsID(key) && !b.known(key) {
			return key
		}
	}
	return key
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
