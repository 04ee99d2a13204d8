package graphtest

import (
	"encoding/json"
	"io"
	"net/http"
	"time"

	"github.com/capi-dispatcher/capi-dispatcher/graph/graphtest/rules"
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
		a.fail(w, rules.Invalid("the request body could not be read"))
		return
	}
	if !pause(r, a.cfg.Latency+fault.Delay) {
		return
	}
	a.reportUsage(w, id)
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
// them or none. Whether its token may write to the dataset comes first.
func (a *API) accept(id string, r *http.Request, body []byte) ([]json.RawMessage, *Error) {
	parameters := readParameters(r, body)
	assets, refusal := a.admit(id, parameters.token(r), &parameters)
	if refusal != nil {
		return nil, refusal
	}
	request, refusal := parameters.events()
	if refusal != nil {
		return nil, refusal
	}
	meta := rules.Rules{Now: a.cfg.Now(), Assets: assets}
	entries := make([]Entry, len(request.Data))
	for i, raw := range request.Data {
		identity, refusal := meta.Check(raw)
		if refusal != nil {
			return nil, refusal.Within(i)
		}
		entries[i] = Entry{Dataset: id, Name: identity.Name, ID: identity.ID, Raw: raw}
	}
	a.ledger.accept(id, request, entries)
	return request.Data, nil
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
