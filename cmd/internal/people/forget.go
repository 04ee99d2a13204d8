package people

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/attribution/clicks"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/attribution/keyring"
	"github.com/capi-dispatcher/capi-dispatcher/graph/event"
)

// Person is somebody on an account.
type Person struct {
	Channel      event.Channel
	Account      string
	User         string // a phone number, or an id of Meta's
	Conversation string
	// DryRun: nothing is deleted.
	DryRun bool
}

// Forgotten is what has been deleted of a person.
type Forgotten struct {
	DryRun  bool
	Aliases int
	Keys    int // in Redis
	Records int // in the stream of clicks
	Parked  int // events
	Letters int
	// Beyond is what could not be reached, and why.
	Beyond []string
}

// String says it to a person.
func (f *Forgotten) String() string {
	verb := "deleted"
	if f.DryRun {
		verb = "would be deleted"
	}
	var text strings.Builder
	fmt.Fprintf(&text, "%s: %d keys in Redis, %d records of clicks, %d parked events, %d dead letters (%d aliases)\n",
		verb, f.Keys, f.Records, f.Parked, f.Letters, f.Aliases)
	for _, beyond := range f.Beyond {
		fmt.Fprintf(&text, "not reached: %s\n", beyond)
	}
	return text.String()
}

// Forget deletes what is kept of a person. The person's records go first, so that a
// rebuild brings nothing back.
func (k *Keeper) Forget(ctx context.Context, who Person) (*Forgotten, error) {
	scope := keyring.Scope{Channel: string(who.Channel), Account: who.Account}
	aliases, err := k.aliases(ctx, scope, who)
	if err != nil {
		return nil, err
	}
	f := &Forgotten{DryRun: who.DryRun, Aliases: len(aliases), Beyond: k.beyond()}
	if f.Records, err = k.forgetRecords(ctx, scope, aliases, who.DryRun); err != nil {
		return nil, err
	}
	streams := &k.cfg.NATS.Streams
	for stream, deleted := range map[string]*int{streams.ParkedStream: &f.Parked, streams.DeadLetterStream: &f.Letters} {
		found, err := k.findEvents(ctx, stream, scope, aliases)
		if err != nil {
			return nil, err
		}
		for _, number := range found.shared {
			f.Beyond = append(f.Beyond, fmt.Sprintf("message %d of stream %s, which holds events of others as well: "+
				"once they are replayed, forget the person again", number, stream))
		}
		if *deleted, err = k.remove(ctx, stream, found.own, who.DryRun); err != nil {
			return nil, err
		}
	}
	names := make([]string, 0, len(aliases))
	for alias := range aliases {
		names = append(names, alias)
	}
	if who.DryRun {
		f.Keys, err = k.index.Count(ctx, scope, names)
	} else {
		f.Keys, err = k.index.Forget(ctx, scope, names)
	}
	return f, err
}

// beyond is what nobody can reach from here.
func (k *Keeper) beyond() []string {
	return []string{
		fmt.Sprintf("events as their producers have published them, in stream %s, until they are %s old", k.cfg.NATS.Stream,
			k.cfg.NATS.MaxAge),
		fmt.Sprintf("bodies of partners' webhooks that wait in stream %s, for a day at the most", k.cfg.Attribution.Queue),
		"parked events and dead letters that name the person by nothing but a click, or in a way of their own",
		"what Meta has accepted",
	}
}

// aliases are all that the person is known by: what follows from the name, from Redis,
// and from the stream, in case Redis has lost it.
func (k *Keeper) aliases(ctx context.Context, scope keyring.Scope, who Person) (map[string]bool, error) {
	var from []string
	if who.User != "" {
		from = append(from, k.ring.Aliases(scope, keyring.User, who.User)...)
		if who.Channel == event.WhatsApp {
			from = append(from, k.ring.Aliases(scope, keyring.Phone, clicks.HashPhone(who.User))...)
		}
	}
	if who.Conversation != "" {
		from = append(from, k.ring.Aliases(scope, keyring.Conversation, who.Conversation)...)
	}
	known, err := k.index.Aliases(ctx, scope, from)
	if err != nil {
		return nil, err
	}
	all := make(map[string]bool)
	for _, alias := range known {
		all[alias] = true
	}
	for before := -1; before != len(all); {
		before = len(all)
		err := k.eachRecord(ctx, scope, func(_ uint64, r *clicks.Record) error {
			if r.Concerns(all) {
				for _, alias := range r.Aliases {
					all[alias] = true
				}
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return all, nil
}

func (k *Keeper) eachRecord(ctx context.Context, scope keyring.Scope, visit func(uint64, *clicks.Record) error) error {
	below := strings.Join([]string{k.cfg.Attribution.Subject, scope.Channel, scope.Account}, ".")
	return clicks.Each(ctx, k.nats, k.cfg.Attribution.Stream, below, func(number uint64, data []byte) error {
		r, err := clicks.Parse(data)
		if err != nil {
			return nil //nolint:nilerr // it is nobody's
		}
		return visit(number, &r)
	})
}

func (k *Keeper) forgetRecords(
	ctx context.Context, scope keyring.Scope, aliases map[string]bool, dry bool,
) (int, error) {
	var numbers []uint64
	err := k.eachRecord(ctx, scope, func(number uint64, r *clicks.Record) error {
		if r.Concerns(aliases) {
			numbers = append(numbers, number)
		}
		return nil
	})
	if err != nil {
		return 0, err
	}
	return k.remove(ctx, k.cfg.Attribution.Stream, numbers, dry)
}

// found are the numbers of messages that hold an event of a person: of nobody else's,
// or of others as well.
type found struct{ own, shared []uint64 }

// findEvents finds the messages of a stream that hold an event of the person.
func (k *Keeper) findEvents(
	ctx context.Context, stream string, scope keyring.Scope, aliases map[string]bool,
) (all found, err error) {
	decoder := event.NewDecoder(k.cfg.Graph.Rules)
	err = k.eachMessage(ctx, stream, func(number uint64, data []byte) {
		request, err := decoder.Decode(data)
		if err != nil {
			return // no event is in it
		}
		theirs := 0
		for i := range request.Events {
			if k.concerns(&request.Events[i], scope, aliases) {
				theirs++
			}
		}
		switch theirs {
		case 0:
		case len(request.Events):
			all.own = append(all.own, number)
		default:
			all.shared = append(all.shared, number)
		}
	})
	return all, err
}

// eachMessage reads a stream message by message, as a work queue takes no second
// consumer. One that is not there holds nothing.
func (k *Keeper) eachMessage(ctx context.Context, name string, visit func(number uint64, data []byte)) error {
	stream, err := k.nats.Stream(ctx, name)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("stream %s: %w", name, err)
	}
	for next := uint64(1); ; {
		msg, err := stream.GetMsg(ctx, next, jetstream.WithGetMsgSubject(">"))
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("reading stream %s: %w", name, err)
		}
		visit(msg.Sequence, msg.Data)
		next = msg.Sequence + 1
	}
}

// concerns reports whether an event is of a person: by the aliases that it was stored
// with, or by the number or the id that it holds itself.
func (k *Keeper) concerns(e *event.Event, scope keyring.Scope, aliases map[string]bool) bool {
	if string(e.Channel) != scope.Channel {
		return false
	}
	if e.Reference != nil {
		for _, qualified := range e.Reference.Aliases {
			account, alias, _ := strings.Cut(qualified, ":")
			if account == scope.Account && aliases[alias] {
				return true
			}
		}
	}
	if account := e.Assets.Of(e.Channel); account != "" && account != scope.Account {
		return false
	}
	for _, phone := range e.Phones() {
		if aliases[k.ring.Alias(scope, keyring.Phone, clicks.HashPhone(phone))] {
			return true
		}
	}
	return aliases[k.ring.Alias(scope, keyring.User, e.ScopedID())]
}

// remove deletes messages for good: the server overwrites where they stood on disk.
func (k *Keeper) remove(ctx context.Context, stream string, numbers []uint64, dry bool) (int, error) {
	if dry || len(numbers) == 0 {
		return len(numbers), nil
	}
	s, err := k.nats.Stream(ctx, stream)
	if err != nil {
		return 0, fmt.Errorf("stream %s: %w", stream, err)
	}
	for i, number := range numbers {
		err := s.SecureDeleteMsg(ctx, number)
		if err == nil {
			continue
		}
		if _, gone := s.GetMsg(ctx, number); !errors.Is(gone, jetstream.ErrMsgNotFound) {
			return i, fmt.Errorf("deleting message %d of stream %s: %w", number, stream, err)
		}
	}
	return len(numbers), nil
}
