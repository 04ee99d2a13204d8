package graph

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/capi-dispatcher/capi-dispatcher/graph/event/redact"
)

// Answer is what became of one request.
type Answer struct {
	Verdict Verdict
	// Status is the HTTP status, 0 where no answer came.
	Status int
	// Received is Meta's events_received.
	Received int
	// Messages are Meta's remarks on an accepted request. They may quote what
	// was sent.
	Messages []string
	// TraceID is fbtrace_id, Meta's own name for the request.
	TraceID string
	// Error is what Graph says was wrong, nil if it said nothing usable.
	Error *Error
	// Cause is why there is no usable answer: an [ExchangeError], or a
	// sentence about what came instead. It quotes nothing that came.
	Cause error
	// RetryAfter is how long Meta, or a proxy before it, wants us to wait.
	RetryAfter time.Duration
	// Unreachable says that no connection came about at all.
	Unreachable bool
	// PerAsset says that the error is about the page or account that some
	// event names, not about the dataset as a whole (see [Meaning]).
	PerAsset bool
	// Restricted says that Meta takes no such events from where the page or
	// Instagram account is registered.
	Restricted bool
	// ProofError says that appsecret_proof is missing or wrong.
	ProofError bool
	// Usage is how near Meta's rate limits we are.
	Usage Usage
	// Version is the API version that served the request, "" if not told.
	Version string
	// Took is the time from the first byte sent to the verdict.
	Took time.Duration
	// Sent is how many bytes the request's body has, 0 where none was made.
	Sent int
}

// Reason is the answer in a short sentence, for logs, traces and conditions:
// codes, and words of ours. It quotes nothing that came back, which may repeat
// what was sent, personal data and all.
func (a *Answer) Reason() string {
	switch {
	case a.Error != nil:
		return a.Error.Error()
	case a.Cause != nil:
		return a.Cause.Error()
	default:
		return a.Verdict.String()
	}
}

// Detail is the answer in a sentence, with what Meta said. It may quote what was
// sent, so it is only for dead letters, and for people who try an event.
func (a *Answer) Detail() string {
	if a.Error != nil {
		return a.Error.name() + ": " + a.Error.Words()
	}
	return a.Reason()
}

// Doubtful reports whether a refusal may be nobody's event's fault: the codes
// are not of those that speak of an event, and no event is named.
func (a *Answer) Doubtful() bool {
	if a.Verdict != Refused || a.Error == nil || a.Restricted || a.Error.Event >= 0 {
		return false
	}
	meaning, known := Explain(a.Error.Code, a.Error.Subcode)
	return !known || meaning.Blame != BlameEvent
}

// Error is the error object of a Graph answer.
// Source: Meta, "Handling Errors" (2026).
type Error struct {
	Code        int
	Subcode     int
	Type        string
	Message     string
	UserTitle   string
	UserMessage string
	Transient   bool
	// Event is the index of the event that Graph seems to name, else -1. It is a
	// hint: only trying that event alone tells.
	Event int
}

// Error names the codes, and what is known of them. It quotes nothing of what
// Meta said: see [Error.Words].
func (e *Error) Error() string {
	if meaning, known := Explain(e.Code, e.Subcode); known {
		return e.name() + ": " + meaning.Title
	}
	return e.name()
}

func (e *Error) name() string { return "graph error " + ErrorCode{e.Code, e.Subcode}.String() }

// Words are what Meta said to a person. They may quote what was sent.
func (e *Error) Words() string {
	words := cmp.Or(e.UserTitle, e.Message)
	if e.UserMessage != "" {
		words += ": " + e.UserMessage
	}
	return words
}

// wireAnswer is either kind of answer as Graph writes it.
type wireAnswer struct {
	EventsReceived *int       `json:"events_received"`
	Messages       []string   `json:"messages"`
	TraceID        string     `json:"fbtrace_id"`
	Error          *wireError `json:"error"`
}

type wireError struct {
	Message     string          `json:"message"`
	Type        string          `json:"type"`
	Code        int             `json:"code"`
	Subcode     int             `json:"error_subcode"`
	Transient   bool            `json:"is_transient"`
	UserTitle   string          `json:"error_user_title"`
	UserMessage string          `json:"error_user_msg"`
	TraceID     string          `json:"fbtrace_id"`
	Data        json.RawMessage `json:"error_data"`
}

// Judge reads an answer of Graph's to a request with that number of events. It
// knows of the exchange only what came back, so it can be fed with anything.
func Judge(status int, header http.Header, body []byte, events int) Answer {
	answer := Answer{
		Status:     status,
		RetryAfter: retryAfter(header, time.Now()),
		Usage:      readUsage(header),
		Version:    plainWord(header.Get("Facebook-Api-Version")),
	}
	var wire wireAnswer
	isJSON := json.Unmarshal(body, &wire) == nil
	switch {
	case isJSON && wire.Error != nil:
		answer.judgeError(wire.Error)
	case status >= 200 && status < 300:
		answer.judgeSuccess(wire, isJSON, body, events)
	default:
		answer.judgeStatus(body)
	}
	return answer
}

// judgeSuccess holds what Meta says it received against what was sent: 200
// alone is not a receipt.
func (a *Answer) judgeSuccess(wire wireAnswer, isJSON bool, body []byte, events int) {
	a.TraceID, a.Messages = plainWord(wire.TraceID), wire.Messages
	switch {
	case !isJSON || wire.EventsReceived == nil:
		a.Cause = fmt.Errorf("HTTP %d without events_received: %s", a.Status, describe(body))
	case *wire.EventsReceived < events:
		a.Received = *wire.EventsReceived
		a.Cause = fmt.Errorf("events_received is %d of %d sent", a.Received, events)
	default:
		a.Received, a.Verdict = *wire.EventsReceived, Accepted
	}
}

// judgeError judges by code, then subcode, then what the error says of
// itself, and by the HTTP status last: Graph sends dead tokens as 400 and 401.
func (a *Answer) judgeError(wire *wireError) {
	a.TraceID = plainWord(wire.TraceID)
	a.Error = &Error{
		Code: wire.Code, Subcode: wire.Subcode, Type: wire.Type, Transient: wire.Transient,
		Message: withoutTokens(wire.Message), UserTitle: withoutTokens(wire.UserTitle),
		UserMessage: withoutTokens(wire.UserMessage),
		Event:       namedEvent(wire),
	}
	meaning, known := Explain(wire.Code, wire.Subcode)
	a.Restricted, a.ProofError = isRestricted(wire), isProofError(wire)
	switch {
	case a.ProofError:
		a.Verdict = Paused
	case a.Restricted:
		a.Verdict = Refused
	case known && meaning.Verdict != Refused:
		a.Verdict, a.PerAsset = meaning.Verdict, meaning.PerAsset
	case wire.Transient:
		a.Verdict = Retry
	case known:
		a.Verdict = meaning.Verdict
	case a.Status == http.StatusTooManyRequests:
		a.Verdict = Throttled
	case a.Status >= 500:
		a.Verdict = Retry
	case a.Status == http.StatusUnauthorized || a.Status == http.StatusForbidden:
		a.Verdict = Paused
	default:
		a.Verdict = Refused
	}
}

// isProofError reports whether appsecret_proof is missing or wrong: Graph gives
// that the code of an invalid parameter, and no subcode. The parameter's own name
// is not translated, so it is safe to look for.
func isProofError(wire *wireError) bool {
	return wire.Code == 100 && wire.Subcode == 0 && strings.Contains(wire.Message, "appsecret_proof")
}

// isRestricted reports whether an error is "Messaging Event Within Messaging
// Restrictive Region". Nobody has published its subcode, so the words are all
// there is to go by; in another language it is a refusal like others.
func isRestricted(wire *wireError) bool {
	for _, text := range [...]string{wire.UserTitle, wire.UserMessage, wire.Message} {
		if strings.Contains(strings.ToLower(text), "restrictive region") {
			return true
		}
	}
	return false
}

// judgeStatus judges an answer that is not Graph's own: a proxy's or a load
// balancer's page, nothing, or JSON of another kind. Such an answer says
// nothing of the events, so it never refuses them, but for their size.
func (a *Answer) judgeStatus(body []byte) {
	a.Cause = fmt.Errorf("HTTP %d without a Graph error: %s", a.Status, describe(body))
	switch a.Status {
	case http.StatusTooManyRequests:
		a.Verdict = Throttled
	case http.StatusRequestTimeout, http.StatusTooEarly, http.StatusServiceUnavailable:
		a.Verdict = Retry
	case http.StatusRequestEntityTooLarge:
		a.Verdict = Refused
	default:
		if a.Status >= 300 && a.Status < 500 {
			a.Verdict = Paused
		}
	}
}

// describe names a body without quoting it: it may echo what was sent.
func describe(body []byte) string {
	trimmed := bytes.TrimSpace(body)
	switch {
	case len(trimmed) == 0:
		return "the body is empty"
	case trimmed[0] == '<':
		return "the body is HTML"
	case trimmed[0] == '{' && !json.Valid(trimmed):
		return fmt.Sprintf("the body is cut off after %d bytes", len(body))
	default:
		return fmt.Sprintf("the body is %d bytes of something else", len(body))
	}
}

// withoutTokens is a text of Meta's without what looks like an access token: it
// repeats one that it does not like.
func withoutTokens(text string) string {
	clean, _ := redact.Text([]byte(text), nil)
	return string(clean)
}

// plainWord is a name that Meta gives to something, or "" if it is none: names go
// into logs, where nothing that was sent may be repeated.
func plainWord(text string) string {
	const most, plain = 64, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-.+/="
	if len(text) > most || strings.Trim(text, plain) != "" {
		return ""
	}
	return text
}

// retryAfter reads Retry-After in both its forms; a time gone by is no delay.
func retryAfter(header http.Header, now time.Time) time.Duration {
	value := header.Get("Retry-After")
	if seconds, err := strconv.Atoi(value); err == nil {
		const most = int(24 * time.Hour / time.Second)
		return time.Duration(min(max(seconds, 0), most)) * time.Second
	}
	if at, err := http.ParseTime(value); err == nil {
		return min(max(at.Sub(now), 0), 24*time.Hour)
	}
	return 0
}
