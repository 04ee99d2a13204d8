package deadletter

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

var (
	// ErrNotFound says that there is no dead letter of that number.
	ErrNotFound = errors.New("no such dead letter")
	// ErrRecreated says that the letter of that number may be another by now.
	ErrRecreated = errors.New("the dead-letter stream has been deleted and created anew since it was opened; look at what is in it now")
)

// Filter chooses dead letters. The zero Filter chooses all.
type Filter struct {
	Dataset string
	Reasons []Reason
	Since   time.Time
	// Code is Meta's error code; 0 is any.
	Code int
	// Subcode is Meta's error subcode; 0 is any.
	Subcode int
	// Most is how many letters at the most; 0 is no limit.
	Most int
}

// Streams names the streams that a [Box] works with, and what their subjects
// begin with.
type Streams struct {
	Letters, LettersSubject string // where dead letters are
	Parked, ParkedSubject   string // where replayed ones go
}

// Box is the dead-letter stream.
type Box struct {
	js      jetstream.JetStream
	stream  jetstream.Stream
	created time.Time
	streams Streams
}

// Open opens the dead-letter stream.
func Open(ctx context.Context, js jetstream.JetStream, streams Streams) (*Box, error) {
	name := streams.Letters
	stream, err := js.Stream(ctx, name)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return nil, fmt.Errorf("there is no stream %s; nothing has been dead-lettered yet, or the dead letters are in another: %w", name, err)
	}
	if err != nil {
		return nil, fmt.Errorf("stream %s: %w", name, err)
	}
	return &Box{js: js, stream: stream, created: stream.CachedInfo().Created, streams: streams}, nil
}

// checkSame makes sure that numbers are still those of the letters that have been
// read: a stream that was created anew gives them to others.
func (b *Box) checkSame(ctx context.Context) error {
	info, err := b.stream.Info(ctx)
	if err == nil && !info.Created.Equal(b.created) {
		return ErrRecreated
	}
	return err
}

// Each calls visit for every chosen letter, oldest first. Messages that are no
// letters are left out, and counted.
func (b *Box) Each(ctx context.Context, filter Filter, visit func(Letter) error) (strangers int, err error) {
	consumer, err := b.js.OrderedConsumer(ctx, b.stream.CachedInfo().Config.Name,
		filter.consumer(b.streams.LettersSubject))
	if err != nil {
		return 0, fmt.Errorf("reading dead letters: %w", err)
	}
	r := reader{filter: &filter, visit: visit}
	for left := consumer.CachedInfo().NumPending; left > 0 && err == nil; {
		left, err = r.page(ctx, consumer, left)
	}
	return r.strangers, err
}

// reader reads letters page by page.
type reader struct {
	filter    *Filter
	visit     func(Letter) error
	visited   int
	strangers int
}

// page reads some of the letters, and returns how many are left: the server says
// so with each. It falls silent for other reasons than that there are no more.
func (r *reader) page(ctx context.Context, consumer jetstream.Consumer, left uint64) (uint64, error) {
	const atOnce, patience = 500, 11 * time.Second // the last of which the client keeps back for the answer
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	batch, err := consumer.Fetch(int(min(atOnce, left)), jetstream.FetchContext(ctx))
	if err != nil {
		return 0, fmt.Errorf("reading dead letters: %w", err)
	}
	read := 0
	for msg := range batch.Messages() {
		meta, err := msg.Metadata()
		if err != nil {
			return 0, fmt.Errorf("reading dead letters: %w", err)
		}
		read, left = read+1, meta.NumPending
		letter, err := Parse(meta.Sequence.Stream, msg.Data(), msg.Headers())
		if err != nil {
			r.strangers++
			continue
		}
		if enough, err := r.take(letter); enough || err != nil {
			return 0, err
		}
	}
	if err := batch.Error(); err != nil {
		return 0, fmt.Errorf("reading dead letters: %w", err)
	}
	if read == 0 {
		return 0, noneLeft(ctx, consumer)
	}
	return left, nil
}

// take shows a letter if it is one of those chosen, and reports whether there
// have been enough before.
func (r *reader) take(letter Letter) (enough bool, err error) {
	if !r.filter.chooses(&letter) {
		return false, nil
	}
	if r.filter.Most > 0 && r.visited == r.filter.Most {
		return true, nil
	}
	r.visited++
	return false, r.visit(letter)
}

// noneLeft reports whether letters that have not come have been deleted.
func noneLeft(ctx context.Context, consumer jetstream.Consumer) error {
	info, err := consumer.Info(ctx)
	switch {
	case err != nil:
		return fmt.Errorf("reading dead letters: %w", err)
	case info.NumPending > 0:
		return fmt.Errorf("reading dead letters: NATS does not deliver the last %d; try again", info.NumPending)
	}
	return nil
}

// Get returns the letter of that number.
func (b *Box) Get(ctx context.Context, sequence uint64) (Letter, error) {
	msg, err := b.stream.GetMsg(ctx, sequence)
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return Letter{}, fmt.Errorf("%w: number %d", ErrNotFound, sequence)
	}
	if err != nil {
		return Letter{}, fmt.Errorf("reading dead letter %d: %w", sequence, err)
	}
	return Parse(sequence, msg.Data, msg.Header)
}

// Reached reports whether there has been a letter of that number when the box was
// opened: if there is none, it has been replayed, removed, or has grown too old.
func (b *Box) Reached(sequence uint64) bool {
	return sequence <= b.stream.CachedInfo().State.LastSeq
}

// consumer lets the server do the part of the choosing that it can.
func (f *Filter) consumer(root string) jetstream.OrderedConsumerConfig {
	cfg := jetstream.OrderedConsumerConfig{FilterSubjects: f.subjects(root)}
	if !f.Since.IsZero() {
		cfg.DeliverPolicy, cfg.OptStartTime = jetstream.DeliverByStartTimePolicy, &f.Since
	}
	return cfg
}

func (f *Filter) subjects(root string) []string {
	dataset := cmp.Or(f.Dataset, "*")
	if len(f.Reasons) == 0 {
		return []string{root + "." + dataset + ".*"}
	}
	subjects := make([]string, len(f.Reasons))
	for i, reason := range f.Reasons {
		subjects[i] = root + "." + dataset + "." + string(reason)
	}
	return subjects
}

func (f *Filter) chooses(letter *Letter) bool {
	if f.Code == 0 && f.Subcode == 0 {
		return true
	}
	g := letter.Graph
	return g != nil && (f.Code == 0 || g.Code == f.Code) && (f.Subcode == 0 || g.Subcode == f.Subcode)
}
