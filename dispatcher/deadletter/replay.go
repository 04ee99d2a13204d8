package deadletter

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/header"
	"github.com/capi-dispatcher/capi-dispatcher/graph"
)

// autoWord stands in a subject for a dataset that has yet to be found out.
const autoWord = "auto"

var (
	// ErrCutOff says that a letter has only a part of its event.
	ErrCutOff = errors.New("only a part of the event")
	// ErrNotStored says that NATS took a replay for something that it has
	// stored before. The letter is where it was.
	ErrNotStored = errors.New("NATS takes the event for one that it has already")
)

// Replay puts a letter's event where a parked event comes back. There it is
// what it was: if its identity has been accepted since, it is dropped as a
// duplicate, however often it is replayed. The letter is deleted once the event
// is stored, unless it is to be kept. That it has been deleted elsewhere by then
// is no error.
func (b *Box) Replay(ctx context.Context, letter Letter, keep bool) error {
	if err := letter.checkReplay(); err != nil {
		return fmt.Errorf("dead letter %d %w", letter.Sequence, err)
	}
	// The id is random, so that no one else can publish another message under it
	// before us. The client repeats the message under it if no server has
	// answered.
	id := jetstream.WithMsgID("replay-" + rand.Text())
	// Whatever else may listen on the subject: only there workers find it.
	ack, err := b.js.PublishMsg(ctx, b.replayed(&letter), id, jetstream.WithExpectStream(b.streams.Parked))
	if err != nil {
		return fmt.Errorf("replaying dead letter %d: %w", letter.Sequence, err)
	}
	if ack.Duplicate {
		return fmt.Errorf("replaying dead letter %d: %w; the letter stays, try again", letter.Sequence, ErrNotStored)
	}
	if keep {
		return nil
	}
	return b.remove(ctx, letter.Sequence)
}

// checkReplay refuses what no worker could make anything of.
func (l *Letter) checkReplay() error {
	switch {
	case l.CutOff > 0:
		return fmt.Errorf("holds %w, the first %d of %d bytes: publish it anew; it was message %d on %s",
			ErrCutOff, len(l.Event), l.CutOff, l.OriginSequence, l.OriginSubject)
	case l.Dataset != "" && !graph.IsID(l.Dataset):
		return fmt.Errorf("names the dataset %q, which is no dataset id: no worker has written that letter", l.Dataset)
	default:
		return nil
	}
}

// remove deletes a replayed letter. It is well if it is gone already.
func (b *Box) remove(ctx context.Context, sequence uint64) error {
	if err := b.checkSame(ctx); err != nil {
		return fmt.Errorf("dead letter %d is replayed, and was not deleted: %w", sequence, err)
	}
	if err := b.delete(ctx, sequence, b.stream.DeleteMsg); err != nil && !errors.Is(err, ErrNotFound) {
		return fmt.Errorf("dead letter %d is replayed, and could not be deleted: %w", sequence, err)
	}
	return nil
}

// replayed renders a letter as a parked event whose time has come. The requests
// that it was in are not counted any more: this is a new try.
func (b *Box) replayed(letter *Letter) *nats.Msg {
	msg := nats.NewMsg(b.streams.ParkedSubject + ".due." + cmp.Or(letter.Dataset, autoWord))
	msg.Data = letter.Event
	maps.Copy(msg.Header, letter.Trace)
	for name, value := range map[string]string{
		header.FirstSeen:      stamp(letter.FirstSeen),
		header.OriginSubject:  letter.OriginSubject,
		header.OriginSequence: number(letter.OriginSequence),
		header.DedupeID:       letter.DedupeID,
		header.ContentIDs:     formatContentIDs(letter.ContentIDs),
		header.Places:         formatPlaces(letter.Places),
		header.Claim:          number(uint64(letter.Claim)),
		header.Envelope:       letter.Envelope,
	} {
		if value != "" {
			msg.Header.Set(name, value)
		}
	}
	return msg
}

func stamp(at time.Time) string {
	if at.IsZero() {
		return ""
	}
	return at.UTC().Format(time.RFC3339Nano)
}
