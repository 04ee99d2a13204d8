package graphtest

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/capi-dispatcher/capi-dispatcher/graph/graphtest/rules"
)

// Fault is how the API misbehaves towards one request. The zero value is no
// fault. In JSON, delay and answer_delay are texts like "250ms".
type Fault struct {
	// Delay is waited before anything is looked at.
	Delay time.Duration `json:"-"`
	// AnswerDelay is waited after the events are accepted.
	AnswerDelay time.Duration `json:"-"`
	// Accept accepts the events by the rules before the fault shows: the
	// sender can't know. Without it, nothing is processed.
	Accept bool `json:"accept,omitempty"`
	// Drop cuts the connection instead of answering.
	Drop bool `json:"drop,omitempty"`
	// Cut sends the first half of the answer's body and cuts the connection.
	Cut bool `json:"cut,omitempty"`
	// Status is the HTTP status; 400 with an Error, 500 with a Body.
	Status int `json:"status,omitempty"`
	// Error is answered in Graph's shape.
	Error *Error `json:"error,omitempty"`
	// Body is answered instead of JSON: HTML, say. "-" is an empty body.
	Body string `json:"body,omitempty"`
	// Short makes events_received too small by so much; needs Accept.
	Short int `json:"short,omitempty"`
	// Header is added to the answer: Retry-After, usage headers.
	Header map[string]string `json:"header,omitempty"`
}

// refuses reports whether the request is answered without being processed.
func (f *Fault) refuses() bool {
	return !f.Accept && (f.Drop || f.Cut || f.Status != 0 || f.Error != nil || f.Body != "")
}

// Error is the error object of a Graph answer.
type Error = rules.Error

// answers writes answers, each with a name of its own.
type answers struct{ traces atomic.Uint64 }

// misbehave answers a request the way the fault wants it.
func (a *answers) misbehave(w http.ResponseWriter, fault Fault, events []json.RawMessage) {
	if fault.Drop {
		panic(http.ErrAbortHandler)
	}
	for name, value := range fault.Header {
		w.Header().Set(name, value)
	}
	status, body := a.render(fault, len(events))
	if !fault.Cut {
		a.write(w, status, body)
		return
	}
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	a.write(w, status, body[:len(body)/2])
	_ = http.NewResponseController(w).Flush()
	panic(http.ErrAbortHandler)
}

// render writes the status and body of an answer.
func (a *answers) render(fault Fault, events int) (int, []byte) {
	switch {
	case fault.Body == "-":
		return cmp.Or(fault.Status, http.StatusInternalServerError), nil
	case fault.Body != "":
		return cmp.Or(fault.Status, http.StatusInternalServerError), []byte(fault.Body)
	case fault.Error != nil:
		return cmp.Or(fault.Status, http.StatusBadRequest), a.errorBody(*fault.Error)
	case fault.Status >= 300:
		return fault.Status, a.errorBody(Error{
			Message: fmt.Sprintf("An unknown error has occurred (HTTP %d).", fault.Status), Type: "OAuthException",
			Code: codeFor(fault.Status),
		})
	default:
		return cmp.Or(fault.Status, http.StatusOK), a.successBody(events - fault.Short)
	}
}

// codeFor picks a Graph code that goes with an HTTP status.
func codeFor(status int) int {
	switch {
	case status == http.StatusTooManyRequests:
		return 4
	case status == http.StatusUnauthorized:
		return 190
	case status == http.StatusForbidden:
		return 10
	case status >= 500:
		return 2
	default:
		return 100
	}
}

func (a *answers) successBody(received int) []byte {
	body, err := json.Marshal(struct {
		Received int      `json:"events_received"`
		Messages []string `json:"messages"`
		TraceID  string   `json:"fbtrace_id"`
	}{received, []string{}, a.traceID()})
	if err != nil {
		panic(err) // an int and two strings
	}
	return body
}

func (a *answers) errorBody(e Error) []byte {
	e.TraceID = a.traceID()
	if e.Type == "" {
		e.Type = "OAuthException"
	}
	body, err := json.Marshal(struct {
		Error Error `json:"error"`
	}{e})
	if err != nil {
		panic(err) // strings and ints
	}
	return body
}

// fail answers with an error of Graph's.
func (a *answers) fail(w http.ResponseWriter, e *Error) {
	if e.Code == 190 {
		w.Header().Set("Www-Authenticate", `OAuth "Facebook Platform" "invalid_token" "`+e.Message+`"`)
	}
	a.write(w, cmp.Or(e.Status, http.StatusBadRequest), a.errorBody(*e))
}

func (a *answers) write(w http.ResponseWriter, status int, body []byte) {
	header := w.Header()
	if header.Get("Content-Type") == "" && len(body) > 0 {
		header.Set("Content-Type", "application/json; charset=UTF-8")
		if body[0] == '<' {
			header.Set("Content-Type", "text/html; charset=utf-8")
		}
	}
	header.Set("Facebook-Api-Version", "v26.0")
	header.Set("X-Fb-Request-Id", a.traceID())
	w.WriteHeader(status)
	_, _ = w.Write(body)
}

// traceID makes a name for an answer in the style of fbtrace_id.
func (a *answers) traceID() string { return fmt.Sprintf("Asim%018x", a.traces.Add(1)) }
