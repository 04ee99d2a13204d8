package dispatcher

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/header"
)

// errNoDirectGet says that the parked stream cannot be read beside its consumer.
var errNoDirectGet = errors.New("the parked stream does not allow direct gets; run: nats stream edit <stream> --allow-direct")

// waiter is a parked event as it lies in the stream.
type waiter struct {
	subject  string
	sequence uint64
	message  *nats.Msg
}

func (w *waiter) reason() string { return w.message.Header.Get(header.Reason) }

// dueAt is when the server brings it back by itself.
func (w *waiter) dueAt() time.Time {
	at, err := time.Parse(time.RFC3339, strings.TrimPrefix(w.message.Header.Get(jetstream.ScheduleHeader), "@at "))
	if err != nil {
		return time.Time{}
	}
	return at
}

// storedAt is when the server stored it.
func (w *waiter) storedAt() time.Time {
	at, err := time.Parse(time.RFC3339Nano, w.message.Header.Get(jetstream.TimeStampHeaer))
	if err != nil {
		return time.Time{}
	}
	return at
}

// waitRoot is what the subjects of all events begin with that wait.
func (d *Dispatcher) waitRoot() string { return d.cfg.Streams.ParkedSubject + ".wait." }

// readWaiting reads up to so many of a dataset's parked events, or of all, from a
// sequence number on: with one request for all (NATS 2.11, ADR-31), because a stream
// that is a work queue cannot be read with a consumer of one's own.
func (d *Dispatcher) readWaiting(ctx context.Context, dataset string, from uint64, most int) ([]waiter, error) {
	const maxBytes = 4 << 20
	return d.getWaiting(ctx, most, struct {
		From     uint64 `json:"seq"`
		Subject  string `json:"next_by_subj"`
		Most     int    `json:"batch"`
		MaxBytes int    `json:"max_bytes"`
	}{max(from, 1), d.waitSubjects(dataset), most, maxBytes})
}

// newestWaiting is the number of the newest event that waits for a dataset, or 0.
func (d *Dispatcher) newestWaiting(ctx context.Context, dataset string) (uint64, error) {
	newest, err := d.getWaiting(ctx, 1, struct {
		Subject string `json:"last_by_subj"`
	}{d.waitSubjects(dataset)})
	if err != nil || len(newest) == 0 {
		return 0, err
	}
	return newest[0].sequence, nil
}

// waitSubjects are where a dataset's events wait, or all events.
func (d *Dispatcher) waitSubjects(dataset string) string {
	return d.waitRoot() + cmp.Or(dataset, "*") + ".>"
}

// getWaiting asks for up to so many parked events.
func (d *Dispatcher) getWaiting(ctx context.Context, most int, which any) ([]waiter, error) {
	request, err := json.Marshal(which)
	if err != nil {
		return nil, err
	}
	conn := d.deps.JetStream.Conn()
	inbox, err := conn.SubscribeSync(conn.NewInbox())
	if err != nil {
		return nil, err
	}
	defer func() { _ = inbox.Unsubscribe() }()
	asked, subject := time.Now(), d.apiPrefix()+"DIRECT.GET."+d.cfg.Streams.ParkedStream
	if err := conn.PublishRequest(subject, inbox.Subject, request); err != nil {
		return nil, err
	}
	waiters, err := readAnswers(ctx, inbox, most)
	if err != nil {
		err = cmp.Or(d.deps.Rights.Since(asked, subject), err)
	}
	return waiters, err
}

// apiPrefix is where JetStream listens.
func (d *Dispatcher) apiPrefix() string {
	options := d.deps.JetStream.Options()
	switch {
	case options.APIPrefix != "":
		return strings.TrimSuffix(options.APIPrefix, ".") + "."
	case options.Domain != "":
		return "$JS." + options.Domain + ".API."
	default:
		return "$JS.API."
	}
}

// readAnswers reads messages until the server says that there are no more. If it
// falls silent before, what has come is as good.
func readAnswers(ctx context.Context, inbox *nats.Subscription, most int) (waiters []waiter, err error) {
	const patience = 2 * time.Second
	for len(waiters) < most {
		wait, cancel := context.WithTimeout(ctx, patience)
		msg, err := inbox.NextMsgWithContext(wait)
		cancel()
		switch {
		case errors.Is(err, nats.ErrNoResponders):
			return nil, errNoDirectGet
		case err != nil && len(waiters) > 0 && ctx.Err() == nil:
			return waiters, nil
		case err != nil:
			return nil, fmt.Errorf("reading parked events: %w", err)
		}
		switch status := msg.Header.Get("Status"); status {
		case "":
		case "404", "204": // none, or no more
			return waiters, nil
		case "503":
			return nil, errNoDirectGet
		default:
			return waiters, fmt.Errorf("reading parked events: %s %s", status, msg.Header.Get("Description"))
		}
		sequence, err := strconv.ParseUint(msg.Header.Get(jetstream.SequenceHeader), 10, 64)
		if err != nil {
			return waiters, fmt.Errorf("reading parked events: %w", err)
		}
		waiters = append(waiters, waiter{subject: msg.Header.Get(jetstream.SubjectHeader), sequence: sequence, message: msg})
	}
	return waiters, nil
}

// hasten makes a parked event come back now: its schedule is replaced by an
// earlier one, on the same subject, if it is still the one that was read. The
// server does that as one step, so the event is in the stream at every moment.
// The new time is long past, so that no clock takes it for one that has yet to
// come.
func (d *Dispatcher) hasten(w *waiter, dataset string, now time.Time) (jetstream.PubAckFuture, error) {
	msg := nats.NewMsg(w.subject)
	msg.Data = w.message.Data
	for name, values := range w.message.Header {
		// The server's own headers would contradict the new ones; with the
		// same message id it would count as a repetition.
		if !strings.HasPrefix(name, "Nats-") {
			msg.Header[name] = values
		}
	}
	msg.Header.Set(header.Recalled, now.UTC().Format(time.RFC3339Nano))
	if at := d.doubts.AcceptedAt(dataset); !at.IsZero() {
		msg.Header.Set(header.Accepted, at.UTC().Format(time.RFC3339Nano))
	}
	return d.deps.JetStream.PublishMsgAsync(msg,
		jetstream.WithScheduleAt(now.Add(-time.Hour)), jetstream.WithScheduleTarget(d.dueSubject(dataset)),
		jetstream.WithExpectLastSequencePerSubject(w.sequence))
}
