// Package directory finds the datasets of accounts: in memory, else in Redis,
// else by asking Meta. It only reads; it never creates a dataset.
//
// A caller waits no longer than it wants: a question goes on when nobody waits
// for it any more, and its answer is there for the next caller. Each account is
// asked for once at a time, and enough of them at a time for a few slow ones not
// to keep the others from being asked for.
package directory

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"

	"github.com/capi-dispatcher/capi-dispatcher/graph"
	"github.com/capi-dispatcher/capi-dispatcher/internal/bounded"
)

// API answers for one account: an [*graph.Client].
type API interface {
	Dataset(ctx context.Context, asset graph.Asset) (id string, err error)
}

// Tokens shows when the access token for an account is replaced: its fingerprint
// is another then.
type Tokens interface {
	Fingerprint(id string) string
}

// Finding is what is known of an account's dataset.
type Finding struct {
	// Dataset is its id; "" if Meta says that there is none.
	Dataset string
	// Err is why it could not be found out; nil if the rest is Meta's answer.
	Err error
	// Until is how long this holds. With Err, asking before is of no use.
	Until time.Time
}

// ErrPending says that Meta has not answered yet.
var ErrPending = errors.New("the account's dataset is still being asked for")

// How long what was found is kept. In memory it is kept for less than in
// Redis, so that all workers agree again soon.
const (
	keepKnown    = 24 * time.Hour
	keepNone     = 10 * time.Minute
	keepInMemory = time.Minute
)

// How long an account is left alone that could not be asked for: doubling.
const (
	firstPause = 5 * time.Second
	longPause  = 5 * time.Minute
)

// pendingPause is when to ask again for what is still being asked.
const pendingPause = 5 * time.Second

const (
	maxCalls = 16     // at a time
	maxKept  = 10_000 // in memory: anybody can name accounts
)

// Directory finds datasets. It is safe for concurrent use.
type Directory struct {
	api    API
	tokens Tokens
	cache  cache
	calls  singleflight.Group
	slots  chan struct{}

	open  context.Context //nolint:containedctx // calls outlive those who wait for them, but not the directory
	close context.CancelFunc
	busy  sync.WaitGroup

	mu   sync.Mutex
	kept map[graph.Asset]kept
}

// kept is a finding in memory.
type kept struct {
	Finding

	failures    int
	fingerprint string // of the token it failed with
}

// New returns a directory. It has to be closed.
func New(api API, tokens Tokens, redis Redis) *Directory {
	d := &Directory{
		api: api, tokens: tokens, cache: cache{redis},
		slots: make(chan struct{}, maxCalls), kept: make(map[graph.Asset]kept),
	}
	d.open, d.close = context.WithCancel(context.Background())
	return d
}

// Close ends all questions under way. Nothing may be asked after that.
func (d *Directory) Close() {
	d.close()
	d.busy.Wait()
}

// Recall returns what is in memory, without waiting for anything.
func (d *Directory) Recall(asset graph.Asset) (f Finding, known bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.recall(asset)
}

func (d *Directory) recall(asset graph.Asset) (f Finding, known bool) {
	k, ok := d.kept[asset]
	if !ok || !time.Now().Before(k.Until) || k.Err != nil && k.fingerprint != d.tokens.Fingerprint(asset.ID) {
		return Finding{}, false
	}
	return k.Finding, true
}

// Find returns what is known, or finds it out. If ctx ends first, Err is
// [ErrPending], and for some seconds nobody else waits either.
func (d *Directory) Find(ctx context.Context, asset graph.Asset) Finding {
	if f, known := d.Recall(asset); known {
		return f
	}
	answer := make(chan Finding, 1)
	d.busy.Go(func() {
		f, _, _ := d.calls.Do(key(asset), func() (any, error) { return d.ask(asset), nil })
		answer <- f.(Finding)
	})
	select {
	case f := <-answer:
		return f
	case <-ctx.Done():
		return d.postpone(asset)
	}
}

// postpone notes that an account's answer takes long, so that the next who asks
// need not find that out by waiting.
func (d *Directory) postpone(asset graph.Asset) Finding {
	d.mu.Lock()
	defer d.mu.Unlock()
	if f, known := d.recall(asset); known {
		return f // it came this very moment
	}
	return d.put(asset, kept{
		Finding:  Finding{Err: ErrPending, Until: time.Now().Add(pendingPause)},
		failures: d.kept[asset].failures, fingerprint: d.tokens.Fingerprint(asset.ID),
	})
}

// ask finds an account's dataset in Redis, else asks Meta. Redis only saves
// calls here: without it, Meta is asked.
func (d *Directory) ask(asset graph.Asset) Finding {
	select {
	case d.slots <- struct{}{}:
		defer func() { <-d.slots }()
	case <-d.open.Done():
		return Finding{Err: ErrPending}
	}
	if dataset, known := d.cache.get(d.open, asset); known {
		return d.keep(asset, dataset, nil)
	}
	dataset, err := d.api.Dataset(d.open, asset)
	if errors.Is(err, graph.ErrNoDataset) {
		dataset, err = "", nil
	}
	if err == nil {
		d.cache.set(d.open, asset, dataset)
	}
	return d.keep(asset, dataset, err)
}

// keep puts a finding into memory.
func (d *Directory) keep(asset graph.Asset, dataset string, err error) Finding {
	d.mu.Lock()
	defer d.mu.Unlock()
	k := kept{Finding: Finding{Dataset: dataset, Err: err, Until: time.Now().Add(keepInMemory)}}
	if err != nil {
		k.failures = d.kept[asset].failures + 1
		k.fingerprint = d.tokens.Fingerprint(asset.ID)
		k.Until = time.Now().Add(max(pause(k.failures), asked(err)))
	}
	return d.put(asset, k)
}

func (d *Directory) put(asset graph.Asset, k kept) Finding {
	if len(d.kept) >= maxKept {
		d.forget()
	}
	d.kept[asset] = k
	return k.Finding
}

// forget makes room: what is outdated goes, or anything if nothing is.
func (d *Directory) forget() {
	now := time.Now()
	for asset, k := range d.kept {
		if now.After(k.Until) {
			delete(d.kept, asset)
		}
	}
	bounded.MakeRoom(d.kept, maxKept)
}

// pause is how long an account is left alone after a number of failures in a row,
// half of it at random.
func pause(failures int) time.Duration {
	full := longPause
	if failures < 8 {
		full = min(firstPause<<(failures-1), longPause)
	}
	return full/2 + rand.N(full/2+1)
}

// asked is how long Meta wants us to wait.
func asked(err error) time.Duration {
	if failed, ok := errors.AsType[*graph.DatasetError](err); ok {
		return max(failed.Answer.RetryAfter, failed.Answer.Usage.Regain)
	}
	return 0
}
