package graphtest

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"time"
)

// maxBody bounds what one request may hold.
const maxBody = 16 << 20

// postEvents is POST /{version}/{dataset}/events.
func (a *API) postEvents(w http.ResponseWriter, r *http.Request) {
	id := r.PathValue("dataset")
	done := a.ledger.arrive(id)
	defer done()
	fault := a.nextFault(id)
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		a.fail(w, invalidParameter("the request body could not be read"))
		return
	}
	if !pause(r, a.cfg.Latency+fault.Delay) {
		return
	}
	if fault.refuses() {
		a.misbehave(w, fault, nil)
		return
	}
	events, refusal := a.accept(id, r, body)
	if refusal == nil && !pause(r, fault.AnswerDelay) {
		return // accepted, and nobody is there to hear it
	}
	if refusal != nil {
		a.ledger.refuse(id)
		a.fail(w, refusal)
		return
	}
	a.misbehave(w, fault, events)
}

// accept checks a whole request and enters its events into the ledger, all of
// them or none.
func (a *API) accept(id string, r *http.Request, body []byte) ([]json.RawMessage, *Error) {
	request, refusal := readRequest(body)
	if refusal != nil {
		return nil, refusal
	}
	assets, refusal := a.admit(id, tokenOf(r, request))
	if refusal != nil {
		return nil, refusal
	}
	rules := rules{now: a.cfg.Now(), assets: assets}
	entries := make([]Entry, len(request.Data))
	for i, raw := range request.Data {
		entry, refusal := rules.check(raw)
		if refusal != nil {
			return nil, refusal
		}
		entry.Dataset = id
		entries[i] = entry
	}
	a.ledger.accept(id, request, entries)
	return request.Data, nil
}

// request is what the API reads of a request body.
type request struct {
	Data          []json.RawMessage `json:"data"`
	AccessToken   string            `json:"access_token"`
	PartnerAgent  string            `json:"partner_agent"`
	TestEventCode string            `json:"test_event_code"`
}

// maxEvents is what Meta takes in one request.
const maxEvents = 1000

func readRequest(body []byte) (request, *Error) {
	var got request
	decoder := json.NewDecoder(bytes.NewReader(body))
	if err := decoder.Decode(&got); err != nil || decoder.More() {
		return request{}, invalidParameter("(#100) param data must be an array.")
	}
	if len(got.Data) == 0 {
		return request{}, invalidParameter("(#100) The parameter data is required")
	}
	if len(got.Data) > maxEvents {
		return request{}, invalidParameter("(#100) Too many events in one request")
	}
	return got, nil
}

// tokenOf finds the access token in all the places where Graph takes it.
func tokenOf(r *http.Request, body request) string {
	if bearer, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer "); ok {
		return bearer
	}
	if query := r.URL.Query().Get("access_token"); query != "" {
		return query
	}
	return body.AccessToken
}

// pause waits, unless the client hangs up first.
func pause(r *http.Request, d time.Duration) bool {
	if d <= 0 {
		return true
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-r.Context().Done():
		return false
	}
}
