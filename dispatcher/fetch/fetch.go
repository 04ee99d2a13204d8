// Package fetch pulls messages from a JetStream consumer: as many as there is room
// for, by number and by bytes, within a time.
//
// It stands in for Fetch of the NATS client, which two things make unfit for us.
// For the client a status of the server's ends a pull. But where a consumer has
// replicas, a message is sent when they know of its delivery, while the statuses
// of a pull that has enough, by number or by bytes, are sent at once (seen in
// nats-server 2.15.2; since 2.11, nats-server#6792): they overtake the messages.
// Of a pull of a thousand, a few came, and the others were delivered to nobody. And
// what has no data and a header Status is a status for the client, even if it is a
// message that somebody has published: one such message ended every pull.
//
// Here a status says how many messages are still to come, and what JetStream can
// be asked to acknowledge is a message.
package fetch

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
)

// Want says what a pull asks for.
type Want struct {
	Messages int           // at the most
	Bytes    int           // at the most, with subjects and headers, as the server counts
	Wait     time.Duration // for messages that there are none of yet
}

// patience is how long messages may be on their way after the server has begun with
// the last, or ended the pull: as long as the client would have.
const patience = time.Second

// statuses are as many as one pull may have, and more.
const statuses = 16

// Consumer is what messages are pulled from. It is safe for concurrent use.
type Consumer struct {
	Conn    *nats.Conn
	Subject string // of requests: $JS.API.CONSUMER.MSG.NEXT.<stream>.<consumer>
}

// Fetch asks for messages and hands each to take as it comes. It returns nil when
// all that there were have come, or nothing more comes, and else a
// [StatusError], what take has returned, or what kept it from asking. Messages
// that the server sends later than that are delivered again after AckWait.
func (c Consumer) Fetch(want Want, take func(*nats.Msg) error) error {
	inbox := c.Conn.NewInbox()
	answers := make(chan *nats.Msg, want.Messages+statuses)
	subscription, err := c.Conn.ChanSubscribe(inbox, answers)
	if err != nil {
		return fmt.Errorf("cannot subscribe to %s: %w", inbox, err)
	}
	defer func() { _ = subscription.Unsubscribe() }() // fails where the connection is closed
	request := fmt.Appendf(nil, `{"expires":%d,"batch":%d,"max_bytes":%d}`, want.Wait.Nanoseconds(), want.Messages,
		want.Bytes)
	if err := c.Conn.PublishRequest(c.Subject, inbox, request); err != nil {
		return fmt.Errorf("cannot publish to %s: %w", c.Subject, err)
	}
	p := pull{want: want, due: want.Messages}
	return p.receive(answers, take)
}

// pull is one pull under way.
type pull struct {
	want       Want
	due        int // messages that will have come when all have
	got, bytes int
}

func (p *pull) receive(answers <-chan *nats.Msg, take func(*nats.Msg) error) error {
	quiet := time.NewTimer(p.want.Wait + patience)
	defer quiet.Stop()
	for !p.complete() {
		select {
		case answer := <-answers:
			if err := p.note(answer, take); err != nil {
				return err
			}
			quiet.Reset(p.want.Wait + patience)
		case <-quiet.C:
			return nil
		}
	}
	return nil
}

// complete reports whether nothing more is to come. A pull whose bytes are used up
// exactly ends without a status.
func (p *pull) complete() bool { return p.got >= p.due || p.bytes >= p.want.Bytes }

func (p *pull) note(answer *nats.Msg, take func(*nats.Msg) error) error {
	if answer.Reply != "" {
		p.got++
		p.bytes += answer.Size()
		return take(answer)
	}
	return p.end(answer.Header)
}

// Codes of the server's statuses.
const (
	codeControl  = "100" // an idle heartbeat, or the like
	codeNone     = "404"
	codeTimeout  = "408"
	codeConflict = "409" // the pull has enough, or cannot go on
)

// end takes note of a status: how many messages there will have been, or that
// there will be no more.
func (p *pull) end(header nats.Header) error {
	status := &StatusError{Code: header.Get("Status"), Description: header.Get("Description")}
	open, err := strconv.Atoi(header.Get("Nats-Pending-Messages"))
	switch counted := err == nil; {
	case status.Code == codeControl:
	case counted && (status.Code == codeTimeout || status.Code == codeConflict):
		p.due = p.want.Messages - max(0, open)
	case status.Code == codeNone, status.Code == codeTimeout:
		p.due = 0
	default:
		return status
	}
	return nil
}

// StatusError is a status that says that a pull cannot be served, such as "409
// Consumer Deleted" or "503", which is that nobody listens.
type StatusError struct{ Code, Description string }

func (s *StatusError) Error() string {
	if s.Code == "503" {
		return "no consumer answers (503): it is not there, or has no leader at the moment"
	}
	return strings.TrimSpace("the server ended a pull: " + s.Code + " " + s.Description)
}
