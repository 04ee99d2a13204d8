package storage

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/docker/go-units"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/zap"
)

const (
	// Often is how often the streams are looked at.
	Often = 10 * time.Second
	// patience is how long one look may take.
	patience = 10 * time.Second
)

// Stream is a stream to look at.
type Stream struct {
	// Name is the stream's name in NATS.
	Name string
	// Label stands for it in metrics.
	Label string
	// Subject is what its subjects begin with where the next word is a
	// dataset; "" where there is a subject for each message.
	Subject string
	// Consumer is the one of ours whose backlog is looked at, and whose
	// acknowledgements, beside those of all others, let messages of a stream that
	// keeps them be purged; "" where there is none.
	Consumer string
	// Seen, if any, is called with the stream's info at each look.
	Seen func(*jetstream.StreamInfo)
}

// Watch looks after the streams. Create it with [New].
type Watch struct {
	js      jetstream.JetStream
	log     *zap.Logger
	streams []Stream
	account *optional
	purge   *optional

	consumers, oldest map[string]*optional // looks at these, by stream

	mu     sync.Mutex
	stores []store
	since  time.Time // when stores began to run full, or ceased to
}

// New returns a watch over these streams.
func New(js jetstream.JetStream, log *zap.Logger, streams ...Stream) *Watch {
	consumers, oldest := newBacklogs(log, streams)
	return &Watch{
		js: js, log: log, streams: streams, since: time.Now(), consumers: consumers, oldest: oldest,
		account: &optional{
			log: log, rest: time.Hour,
			failure: "how full the account is cannot be seen, only how full its streams are; the right to publish $JS.API.INFO shows it",
		},
		purge: &optional{
			log: log, rest: 5 * time.Minute,
			failure: "a stream runs full, and what all consumers have acknowledged cannot be purged from it; the rights for that are to publish " +
				"$JS.API.CONSUMER.NAMES, $JS.API.CONSUMER.LIST and $JS.API.STREAM.PURGE, each followed by the stream's name",
		},
	}
}

// Run looks now and again until ctx ends.
func (w *Watch) Run(ctx context.Context) {
	ticker := time.NewTicker(Often)
	defer ticker.Stop()
	for {
		w.Look(ctx)
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
	}
}

// Look looks once at all streams and at the account, and purges what it may. Of
// what cannot be seen now, it remembers what it saw last.
func (w *Watch) Look(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	w.mu.Lock()
	seen := make(map[string]store, len(w.stores))
	for _, s := range w.stores {
		seen[s.label] = s
	}
	w.mu.Unlock()
	for _, stream := range w.streams {
		if s, err := w.lookAt(ctx, stream); err == nil {
			seen[stream.Label] = s
		}
	}
	if s, ok := w.lookAtAccount(ctx); ok {
		if s.filling() {
			s.share = w.shareOfTheLargest(ctx, seen)
		}
		seen[accountLabel] = s
	}
	w.remember(seen)
}

// remember keeps what was seen, in a fixed order, and says what has changed.
func (w *Watch) remember(seen map[string]store) {
	was := w.filling()
	w.mu.Lock()
	w.stores = w.stores[:0]
	for _, label := range append(labels(w.streams), accountLabel) {
		if s, ok := seen[label]; ok {
			w.stores = append(w.stores, s)
		}
	}
	w.mu.Unlock()
	now := w.filling()
	if (was == "") == (now == "") {
		return
	}
	w.mu.Lock()
	w.since = time.Now()
	w.mu.Unlock()
	if now != "" {
		w.log.Warn("room runs short in NATS", zap.String("reason", now))
	} else {
		w.log.Info("there is room in NATS again")
	}
}

func labels(streams []Stream) []string {
	all := make([]string, len(streams))
	for i, s := range streams {
		all[i] = s.Label
	}
	return all
}

// Filling returns what runs full, and since when; "" is nothing.
func (w *Watch) Filling() (reason string, since time.Time) {
	reason = w.filling()
	w.mu.Lock()
	defer w.mu.Unlock()
	return reason, w.since
}

func (w *Watch) filling() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	var reasons []string
	for _, s := range w.stores {
		if s.filling() {
			reasons = append(reasons, s.String())
		}
	}
	return strings.Join(reasons, "; ")
}

// Full is the share of its limit from which on a store counts as running full,
// in percent. Workers purge from there on, and the alert is about it.
const Full = 80

// accountLabel stands for the account in metrics.
const accountLabel = "account"

// store is something that holds messages, as it was seen last.
type store struct {
	label, name string
	used, limit uint64 // in bytes; no limit is 0
	messages    uint64
	last        uint64   // number of the message that was stored last
	backlog     *backlog // of our consumer, if there is one
	share       share    // of the dataset with the most messages, if it runs full
	kept        string   // what keeps more from being purged
}

func (s *store) filling() bool { return s.limit > 0 && s.used >= s.limit/100*Full }

func (s *store) String() string {
	text := fmt.Sprintf("%s holds %s of %s", s.name, units.HumanSize(float64(s.used)), units.HumanSize(float64(s.limit)))
	if s.share.dataset != "" {
		text += fmt.Sprintf(", %.0f %% of the messages for dataset %s", 100*s.share.part, s.share.dataset)
	}
	if s.kept != "" {
		text += ", " + s.kept
	}
	return text
}

// lookAt looks at a stream, and makes room in it if it runs full.
func (w *Watch) lookAt(ctx context.Context, stream Stream) (found store, err error) {
	handle, err := w.js.Stream(ctx, stream.Name)
	if err != nil {
		return store{}, err
	}
	info := handle.CachedInfo()
	if stream.Seen != nil {
		stream.Seen(info)
	}
	s := newStore(stream, info)
	defer func() { found.backlog = w.lookAtBacklog(ctx, handle, stream.Consumer) }()
	if !s.filling() {
		return s, nil
	}
	if stream.Consumer != "" && info.Config.Retention == jetstream.LimitsPolicy {
		kept := w.makeRoom(ctx, handle, stream.Consumer)
		if info, err = handle.Info(ctx); err != nil {
			return store{}, err
		}
		s = newStore(stream, info)
		s.kept = kept
	}
	if s.filling() && stream.Subject != "" {
		s.share = largestShare(ctx, handle, stream.Subject)
	}
	return s, nil
}

// makeRoom purges what it may, and returns why no more.
func (w *Watch) makeRoom(ctx context.Context, stream jetstream.Stream, ours string) (kept string) {
	err := w.purge.try(ctx, func(ctx context.Context) (err error) {
		kept, err = purgeAcknowledged(ctx, stream, ours)
		return err
	})
	if err != nil {
		return "and nothing can be purged: " + err.Error()
	}
	return kept
}

func newStore(stream Stream, info *jetstream.StreamInfo) store {
	return store{
		label: stream.Label, name: "stream " + stream.Name,
		used: info.State.Bytes, limit: uint64(max(info.Config.MaxBytes, 0)),
		messages: info.State.Msgs, last: info.State.LastSeq,
	}
}

// lookAtAccount looks at what all streams of the account may hold together, if
// that has a limit. Of the servers' own disks clients learn nothing.
func (w *Watch) lookAtAccount(ctx context.Context) (s store, ok bool) {
	err := w.account.try(ctx, func(ctx context.Context) error {
		info, err := w.js.AccountInfo(ctx)
		if err != nil {
			return err
		}
		s = fullest(info)
		return nil
	})
	return s, err == nil
}

// shareOfTheLargest returns which dataset has most of the stream that takes most
// of the account's room.
func (w *Watch) shareOfTheLargest(ctx context.Context, seen map[string]store) share {
	var largest Stream
	for _, stream := range w.streams {
		if stream.Subject != "" && (largest.Name == "" || seen[stream.Label].used > seen[largest.Label].used) {
			largest = stream
		}
	}
	stream, err := w.js.Stream(ctx, largest.Name)
	if err != nil {
		return share{}
	}
	return largestShare(ctx, stream, largest.Subject)
}

// fullest is the account, or the tier of it that is next to its limit.
func fullest(info *jetstream.AccountInfo) store {
	s := store{label: accountLabel, name: "the account"}
	consider := func(name string, tier jetstream.Tier) {
		limit := uint64(max(tier.Limits.MaxStore, 0))
		if limit > 0 && (s.limit == 0 || float64(tier.Store)/float64(limit) > float64(s.used)/float64(s.limit)) {
			s.name, s.used, s.limit = name, tier.Store, limit
		}
	}
	s.used = info.Store
	consider("the account", info.Tier)
	for name, tier := range info.Tiers {
		consider("tier "+name+" of the account", tier)
	}
	return s
}
