package capture

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/zap"
	"golang.org/x/time/rate"

	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/attribution/clicks"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/attribution/webhook"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/header"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/health"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/retry"
)

// consumption reads a consumer, a page at a time, for as long as it is told to.
type consumption struct {
	name string
	gate *health.Gate // open while it works
	log  *zap.Logger
	rare rate.Sometimes
	// take deals with a page. What it does not acknowledge comes again.
	take func(ctx context.Context, page []jetstream.Msg) error
}

const (
	pageSize = 256
	pageWait = time.Second
	again    = 2 * time.Second // until a page that failed comes again
)

func (c *consumption) run(ctx context.Context, consumer jetstream.Consumer) {
	var loop retry.Loop
	for ctx.Err() == nil {
		err := c.page(ctx, consumer)
		if err == nil {
			loop.Reset()
			c.gate.Open()
			continue
		}
		if ctx.Err() != nil {
			return
		}
		c.gate.Shut(err.Error())
		c.rare.Do(func() { c.log.Warn(c.name+" does not get on", zap.Error(err)) })
		loop.SlowDown(ctx)
	}
}

func (c *consumption) page(ctx context.Context, consumer jetstream.Consumer) error {
	batch, err := consumer.Fetch(pageSize, jetstream.FetchMaxWait(pageWait))
	if err != nil {
		return err
	}
	var page []jetstream.Msg
	for msg := range batch.Messages() {
		page = append(page, msg)
	}
	if err := batch.Error(); len(page) == 0 {
		return err
	}
	if err := c.take(ctx, page); err != nil {
		for _, msg := range page {
			_ = msg.NakWithDelay(again) // else it comes again later
		}
		return err
	}
	return nil
}

// Feeder puts records into the index. Several may share a consumer.
type Feeder struct {
	consumption

	index  Index
	meters *Meters
}

// Index takes records in: an index.Index.
type Index interface {
	Put(ctx context.Context, records []clicks.Record) error
}

// NewFeeder returns a feeder of an index.
func NewFeeder(index Index, meters *Meters, log *zap.Logger) *Feeder {
	f := &Feeder{index: index, meters: meters}
	f.consumption = consumption{
		name: "putting clicks into Redis", gate: health.NewGate(), log: log, take: f.take,
		rare: rate.Sometimes{First: 3, Interval: 10 * time.Second},
	}
	return f
}

// Run feeds until ctx ends.
func (f *Feeder) Run(ctx context.Context, consumer jetstream.Consumer) { f.run(ctx, consumer) }

// Gate is open while clicks come into the index.
func (f *Feeder) Gate() *health.Gate { return f.gate }

func (f *Feeder) take(ctx context.Context, page []jetstream.Msg) error {
	records := make([]clicks.Record, 0, len(page))
	for _, msg := range page {
		r, err := clicks.Parse(msg.Data())
		if err != nil {
			f.meters.indexed(ctx, "malformed", 1)
			continue
		}
		records = append(records, r)
	}
	const patience = 10 * time.Second
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if err := f.index.Put(ctx, records); err != nil {
		return err
	}
	f.meters.indexed(ctx, "stored", len(records))
	return acknowledge(page)
}

// acknowledge lets NATS forget a page. What is not acknowledged comes again, and does no
// harm.
func acknowledge(page []jetstream.Msg) (err error) {
	for _, msg := range page {
		err = errors.Join(err, msg.Ack())
	}
	return err
}

// Reducer takes bodies of webhooks that partners have published.
type Reducer struct {
	consumption

	root   string // of their subjects
	store  *Store
	meters *Meters
}

// NewReducer returns a reducer of bodies below a subject.
func NewReducer(root string, store *Store, meters *Meters, log *zap.Logger) *Reducer {
	r := &Reducer{root: root + ".", store: store, meters: meters}
	r.consumption = consumption{
		name: "taking partners' webhooks", gate: health.NewGate(), log: log, take: r.take,
		rare: rate.Sometimes{First: 3, Interval: 10 * time.Second},
	}
	return r
}

// Run reduces until ctx ends.
func (r *Reducer) Run(ctx context.Context, consumer jetstream.Consumer) { r.run(ctx, consumer) }

// Gate is open while bodies are taken.
func (r *Reducer) Gate() *health.Gate { return r.gate }

// All is the last word of the subject of bodies of any account. Whoever may publish to
// the word of an account only can tell of that account only.
const All = "all"

func (r *Reducer) take(ctx context.Context, page []jetstream.Msg) error {
	for _, msg := range page {
		reduced, err := webhook.Reduce(msg.Data())
		if err != nil {
			r.meters.took(ctx, "malformed", 1)
			r.rare.Do(func() { r.log.Warn("a partner's webhook cannot be read", zap.Error(err)) })
			if err := msg.TermWithReason("neither a webhook nor a record"); err != nil {
				return err
			}
			continue
		}
		restrict(&reduced, strings.TrimPrefix(msg.Subject(), r.root))
		talk(&reduced, msg.Headers().Get(header.Conversation))
		if err := r.store.Store(ctx, reduced); err != nil {
			return fmt.Errorf("storing what a partner's webhook tells: %w", err)
		}
		if err := msg.Ack(); err != nil {
			return err
		}
	}
	return nil
}

// restrict leaves out what is told of other accounts than the subject's.
func restrict(reduced *webhook.Reduced, account string) {
	if account == All {
		return
	}
	kept := reduced.Updates[:0]
	for _, u := range reduced.Updates {
		if u.Account == account {
			kept = append(kept, u)
		}
	}
	reduced.Ignored += len(reduced.Updates) - len(kept)
	reduced.Updates = kept
}

// talk names the conversation of a body that tells of one person.
func talk(reduced *webhook.Reduced, conversation string) {
	if conversation == "" || len(reduced.Updates) != 1 {
		return
	}
	reduced.Updates[0].Person.Conversation = conversation
}
