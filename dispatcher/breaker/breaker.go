package breaker

import (
	"slices"
	"sync"
	"time"

	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/retry"
)

// Tokens are the datasets' access tokens.
type Tokens interface {
	// Fingerprint identifies a dataset's token, and so the app that it belongs
	// to, without revealing it.
	Fingerprint(dataset string) string
}

// Breaker has the circuits of datasets and apps. Create it with [New]. Its methods
// are safe for concurrent use.
type Breaker struct {
	pauses retry.Backoff
	tokens Tokens
	known  func(dataset string) bool

	mu       sync.Mutex
	circuits map[key]*circuit // only of those in trouble
}

// key is whose circuit it is: a dataset's, or an app's, which is known by the
// fingerprint of its token.
type key struct {
	isApp bool
	id    string
}

func ofDataset(id string) key { return key{id: id} }
func ofApp(token string) key  { return key{isApp: true, id: token} }

// keysOf returns whose circuits have to be closed for a dataset to be sent for. The
// app comes first: where it waits, its datasets need not be tried.
func keysOf(dataset, token string) [2]key { return [2]key{ofApp(token), ofDataset(dataset)} }

// Failure is how a request ended that is not worth another try for now.
type Failure struct {
	Dataset string
	Token   string // fingerprint of the one it was made with
	AppWide bool   // the app is to blame, and not the dataset
	Reason  Reason
	Wait    time.Duration // the shortest that Meta asks for; 0 if it does not
}

// New returns a breaker with every circuit closed. A circuit that fails is open
// for as long as pauses says, longer each time, and probes are called for after
// pauses.Max at the latest. known reports whether a dataset is known, and not
// just a name that a producer has made up; it may be asked at any time, and
// must not call the breaker.
func New(pauses retry.Backoff, tokens Tokens, known func(dataset string) bool) *Breaker {
	return &Breaker{pauses: pauses, tokens: tokens, known: known, circuits: make(map[key]*circuit)}
}

// Acquire asks for the right to send for a dataset. If it is denied, the permit
// is nil, until is when to ask again, and a dataset that waits for its app is
// remembered as one that recovers with it. news is when another worker saw the
// dataset well, zero if that is not known: if it is later than the last
// failure, it ends the wait, as a new token does.
func (b *Breaker) Acquire(dataset string, news time.Time) (permit *Permit, until time.Time) {
	token := b.tokens.Fingerprint(dataset)
	b.mu.Lock()
	defer b.mu.Unlock()
	now := time.Now()
	permit = &Permit{breaker: b}
	for _, k := range keysOf(dataset, token) {
		c := b.circuits[k]
		if c == nil {
			continue
		}
		c.hear(now, token, news)
		if until := c.barredUntil(now); !until.IsZero() {
			b.remember(c, k, dataset)
			return nil, until
		}
		permit.probed = append(permit.probed, k)
	}
	for _, k := range permit.probed {
		b.circuits[k].probing = true
	}
	return permit, time.Time{}
}

// TurnAway turns a dataset away if it or its app is barred by what has happened
// since the permit was given out, which may be nil if there is none. It returns
// until when; zero if the dataset may go on. One that waits for its app is
// remembered, as by [Breaker.Acquire].
func (b *Breaker) TurnAway(dataset string, permit *Permit) (until time.Time) {
	token := b.tokens.Fingerprint(dataset)
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, k := range keysOf(dataset, token) {
		if c := b.circuits[k]; c != nil && !permit.covers(k) && time.Now().Before(c.until) {
			b.remember(c, k, dataset)
			return c.until
		}
	}
	return time.Time{}
}

// RecordSuccess closes the circuits of a dataset and of its app, unless they have
// failed since the request was begun. It returns the datasets that have recovered
// by that, in order.
func (b *Breaker) RecordSuccess(dataset, token string, begun time.Time) (recovered []string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, k := range keysOf(dataset, token) {
		c := b.circuits[k]
		if c == nil || begun.Before(c.since) {
			continue
		}
		delete(b.circuits, k)
		recovered = append(recovered, dataset)
		for other := range c.turnedAway {
			recovered = append(recovered, other)
		}
	}
	slices.Sort(recovered)
	return slices.Compact(recovered)
}

// RecordFailure opens the circuit of the dataset or app that is to blame. It
// returns until when the circuit is open, and whether this call opened it.
func (b *Breaker) RecordFailure(f Failure) (until time.Time, news bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	k, now := blamed(f.Dataset, f.Token, f.AppWide), time.Now()
	c := b.circuit(k)
	b.remember(c, k, f.Dataset)
	news = c.fail(now, f.Reason, f.Wait, b.pauses)
	c.token, c.probing = f.Token, false
	c.called, c.callAt = 0, time.Time{}
	return c.until, news
}

// Pause keeps the circuit of a dataset, or of the app, open for a given time from
// now on at the least. That does not count as a failure.
func (b *Breaker) Pause(dataset, token string, appWide bool, wait time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	c, now := b.circuit(blamed(dataset, token, appWide)), time.Now()
	c.blame(now, Throttled)
	c.token = token
	c.prolong(now.Add(wait))
}

func blamed(dataset, token string, appWide bool) key {
	if appWide {
		return ofApp(token)
	}
	return ofDataset(dataset)
}

func (b *Breaker) circuit(k key) *circuit {
	return kept(b.circuits, k, func(k key) bool { return !k.isApp && !b.known(k.id) })
}

// remember notes that a dataset waits for its app. Made-up names cannot keep a
// known one from being remembered.
func (b *Breaker) remember(c *circuit, k key, dataset string) {
	if !k.isApp || len(c.turnedAway) >= MaxKept && !b.known(dataset) {
		return
	}
	if c.turnedAway == nil {
		c.turnedAway = make(map[string]struct{})
	}
	c.turnedAway[dataset] = struct{}{}
}
