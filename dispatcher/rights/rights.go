// Package rights finds out what NATS denies to a connection.
//
// A request that is denied is never answered, and a subscription that is denied
// gets nothing: the server reports the reason separately, to the connection as
// a whole. Without this package a caller would wait for an answer in vain and
// not learn which right is missing.
package rights

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// APIPrefix returns what the subjects begin with that JetStream listens on: what
// has to be granted begins so, too.
func APIPrefix(js jetstream.JetStream) string {
	options := js.Options()
	switch {
	case options.APIPrefix != "":
		return strings.TrimSuffix(options.APIPrefix, ".") + "."
	case options.Domain != "":
		return "$JS." + options.Domain + ".API."
	default:
		return "$JS.API."
	}
}

// DeniedError is a right that is missing.
type DeniedError struct {
	// Subscribe: the right to subscribe is missing, else that to publish.
	Subscribe bool
	Subject   string
}

func (d *DeniedError) Error() string {
	if d.Subscribe {
		return "NATS denies the right to subscribe to " + d.Subject + "; grant it, or connect with another inbox prefix (see docs/security.md, Rights in NATS)"
	}
	return "NATS denies the right to publish to " + d.Subject + "; grant it (see docs/security.md, Rights in NATS)"
}

// concerns reports whether the right is needed to publish to these
// subjects, or below them; to any if none is given. Every answer needs the
// inbox.
func (d *DeniedError) concerns(subjects []string) bool {
	if d.Subscribe || len(subjects) == 0 {
		return true
	}
	for _, subject := range subjects {
		if strings.HasPrefix(d.Subject+".", subject+".") {
			return true
		}
	}
	return false
}

// remembered is how many denials a [Watch] remembers. What is denied is tried
// again, and denied again.
const remembered = 32

// Watch knows the denials of one connection. It is safe for concurrent use; a
// nil Watch knows of none.
type Watch struct {
	mu sync.Mutex
	// inbox stands until the connection is made anew: a client asks for the
	// subscription once, and for all answers.
	inbox   *DeniedError
	recent  []denial
	waiting map[*waiting]struct{}
}

type denial struct {
	*DeniedError

	at time.Time
}

// waiting is a caller that waits for an answer.
type waiting struct {
	subjects []string
	giveUp   context.CancelCauseFunc
}

var violation = regexp.MustCompile(`Permissions Violation for (Publish|Subscription) to "([^"]+)"`)

// Note takes notice of an error that the connection reports beside the answers.
// It returns the denial, or nil if it is something else.
func (w *Watch) Note(conn *nats.Conn, err error) *DeniedError {
	found := violation.FindStringSubmatch(err.Error())
	if found == nil {
		return nil
	}
	denied := &DeniedError{Subscribe: found[1] == "Subscription", Subject: found[2]}
	if inbox := conn.Opts.InboxPrefix + "."; denied.Subscribe && strings.HasPrefix(denied.Subject, inbox) {
		denied.Subject = inbox + ">" // what has to be granted: each subscription has a name of its own below
	}
	w.add(denied)
	return denied
}

func (w *Watch) add(denied *DeniedError) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if denied.Subscribe {
		w.inbox = denied
	}
	if len(w.recent) == remembered {
		w.recent = w.recent[1:]
	}
	w.recent = append(w.recent, denial{denied, time.Now()})
	for one := range w.waiting {
		if denied.concerns(one.subjects) {
			one.giveUp(denied)
		}
	}
}

// Reconnected forgets what was denied to the connection before.
func (w *Watch) Reconnected() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.inbox, w.recent = nil, nil
}

// Since returns the last denial since then that keeps from publishing
// to these subjects or below them, or nil.
func (w *Watch) Since(then time.Time, subjects ...string) error {
	if w == nil {
		return nil
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, d := range slices.Backward(w.recent) {
		if !d.at.Before(then) && d.concerns(subjects) {
			return d.DeniedError
		}
	}
	if w.inbox != nil {
		return w.inbox
	}
	return nil
}

// Do does something that waits for answers to what it publishes to these
// subjects or below them; to any, if none is given. If a right is denied that
// this needs, its context ends at once, and the error is a [DeniedError] as well.
func (w *Watch) Do(ctx context.Context, work func(ctx context.Context) error, subjects ...string) error {
	if w == nil {
		return work(ctx)
	}
	ctx, giveUp := context.WithCancelCause(ctx)
	defer giveUp(nil)
	one := &waiting{subjects: subjects, giveUp: giveUp}
	if denied := w.enlist(one); denied != nil {
		return denied
	}
	defer w.dismiss(one)
	err := work(ctx)
	denied, ok := errors.AsType[*DeniedError](context.Cause(ctx))
	if !ok || err == nil || errors.Is(err, denied) {
		return err
	}
	return fmt.Errorf("%w: %w", denied, err)
}

// enlist adds a caller that waits, unless it would be in vain.
func (w *Watch) enlist(one *waiting) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.inbox != nil {
		return w.inbox
	}
	if w.waiting == nil {
		w.waiting = make(map[*waiting]struct{})
	}
	w.waiting[one] = struct{}{}
	return nil
}

func (w *Watch) dismiss(one *waiting) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.waiting, one)
}
