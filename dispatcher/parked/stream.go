package parked

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/rights"
)

// ErrNoDirectGet says that the parked stream cannot be read beside its consumer.
var ErrNoDirectGet = errors.New("the parked stream does not allow direct gets; run: nats stream edit <stream> --allow-direct")

// Stream is the parked stream. It reads the events that wait, and replaces their
// schedules.
type Stream struct {
	js       jetstream.JetStream
	rights   *rights.Watch
	name     string
	subjects Subjects
}

// NewStream returns the stream of that name.
func NewStream(js jetstream.JetStream, denied *rights.Watch, name string, subjects Subjects) *Stream {
	return &Stream{js: js, rights: denied, name: name, subjects: subjects}
}

// Read reads up to most waiting events of a dataset, or of all if dataset is
// "", from a sequence number on: with one request for all (NATS 2.11, ADR-31),
// because a stream that is a work queue cannot be read with a consumer of one's
// own.
func (s *Stream) Read(ctx context.Context, dataset string, from uint64, most int) ([]Waiting, error) {
	const maxBytes = 4 << 20
	return s.get(ctx, most, struct {
		From     uint64 `json:"seq"`
		Subject  string `json:"next_by_subj"`
		Most     int    `json:"batch"`
		MaxBytes int    `json:"max_bytes"`
	}{max(from, 1), s.subjects.waiting(dataset), most, maxBytes})
}

// Newest returns the number of the newest event that waits for a dataset, or 0.
func (s *Stream) Newest(ctx context.Context, dataset string) (uint64, error) {
	newest, err := s.get(ctx, 1, struct {
		Subject string `json:"last_by_subj"`
	}{s.subjects.waiting(dataset)})
	if err != nil || len(newest) == 0 {
		return 0, err
	}
	return newest[0].Sequence, nil
}

// Last returns the number of the last event that was parked, or 0 if nothing waits.
func (s *Stream) Last(ctx context.Context) (uint64, error) {
	stream, err := s.js.Stream(ctx, s.name)
	if err != nil {
		return 0, err
	}
	state := stream.CachedInfo().State
	if state.Msgs == 0 {
		return 0, nil
	}
	return state.LastSeq, nil
}

// Wake makes events that have been read come back now, saying when Meta last
// accepted one of their dataset, and returns how many do. One that is not there
// any more as it was read has come back meanwhile, or another worker has woken
// it.
func (s *Stream) Wake(
	ctx context.Context, to string, waiting []Waiting, now, accepted time.Time,
) (woken int, err error) {
	futures := make([]jetstream.PubAckFuture, 0, len(waiting))
	for i := range waiting {
		future, err := s.reschedule(&waiting[i], to, now, accepted)
		if err != nil {
			return 0, err
		}
		futures = append(futures, future)
	}
	for _, future := range futures {
		select {
		case <-future.Ok():
			woken++
		case err := <-future.Err():
			if !isWrongSequence(err) {
				return woken, err
			}
		case <-ctx.Done():
			return woken, ctx.Err()
		}
	}
	return woken, nil
}

// reschedule makes an event come back now: its schedule is replaced by an earlier
// one, on the same subject, if it is still the one that was read. The server does
// that as one step, so the event is in the stream at every moment. The new time is
// long past, so that no clock takes it for one that has yet to come.
func (s *Stream) reschedule(w *Waiting, to string, now, accepted time.Time) (jetstream.PubAckFuture, error) {
	schedule := s.subjects.Schedule(to, now.Add(-time.Hour))
	return s.js.PublishMsgAsync(w.woken(now, accepted),
		append(schedule, jetstream.WithExpectLastSequencePerSubject(w.Sequence))...)
}

func isWrongSequence(err error) bool {
	answered, ok := errors.AsType[*jetstream.APIError](err)
	return ok && answered.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequence
}

// get asks for up to most events.
func (s *Stream) get(ctx context.Context, most int, which any) ([]Waiting, error) {
	request, err := json.Marshal(which)
	if err != nil {
		return nil, err
	}
	conn := s.js.Conn()
	inbox, err := conn.SubscribeSync(conn.NewInbox())
	if err != nil {
		return nil, err
	}
	defer func() { _ = inbox.Unsubscribe() }()
	asked, subject := time.Now(), rights.APIPrefix(s.js)+"DIRECT.GET."+s.name
	if err := conn.PublishRequest(subject, inbox.Subject, request); err != nil {
		return nil, err
	}
	waiting, err := readAnswers(ctx, inbox, most)
	if err != nil {
		err = cmp.Or(s.rights.Since(asked, subject), err)
	}
	return waiting, err
}

// readAnswers reads messages until the server says that there are no more. If it
// falls silent before, what has come is as good.
func readAnswers(ctx context.Context, inbox *nats.Subscription, most int) (waiting []Waiting, err error) {
	for len(waiting) < most {
		msg, err := nextAnswer(ctx, inbox)
		switch {
		case errors.Is(err, nats.ErrNoResponders):
			return nil, ErrNoDirectGet
		case err != nil && len(waiting) > 0 && ctx.Err() == nil:
			return waiting, nil
		case err != nil:
			return nil, fmt.Errorf("reading parked events: %w", err)
		}
		switch status := msg.Header.Get("Status"); status {
		case "":
		case "404", "204": // none, or no more
			return waiting, nil
		case "503":
			return nil, ErrNoDirectGet
		default:
			return waiting, fmt.Errorf("reading parked events: %s %s", status, msg.Header.Get("Description"))
		}
		sequence, err := strconv.ParseUint(msg.Header.Get(jetstream.SequenceHeader), 10, 64)
		if err != nil {
			return waiting, fmt.Errorf("reading parked events: %w", err)
		}
		waiting = append(waiting, Waiting{Subject: msg.Header.Get(jetstream.SubjectHeader), Sequence: sequence, Message: msg})
	}
	return waiting, nil
}

// nextAnswer waits for one answer.
func nextAnswer(ctx context.Context, inbox *nats.Subscription) (*nats.Msg, error) {
	const patience = 2 * time.Second
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	return inbox.NextMsgWithContext(ctx)
}
