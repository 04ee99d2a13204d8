package e2e_test

import (
	"bytes"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"time"

	"github.com/capi-dispatcher/capi-dispatcher/graph/graphtest"
)

// witness stands in front of the simulated API and remembers of each accepted
// event when and by whom it was sent, and whether the sender could get to know.
type witness struct {
	api http.Handler
	// patience is how long a sender waits for an answer.
	patience time.Duration

	mu      sync.Mutex
	seen    map[graphtest.Event][]acceptance
	silence map[string][]silence // by dataset: what becomes of its next requests
	hides   int                  // answers that were hidden
}

// acceptance is one time that one event was accepted.
type acceptance struct {
	at     time.Time
	worker int
	life   int  // of that worker
	hidden bool // the answer did not come through
}

// silence is how an answer is kept from its sender.
type silence int

const (
	answered      silence = iota
	cutOff                // processed, and the connection breaks
	halfAnswered          // processed, and the connection breaks in the answer
	notYourAnswer         // processed, and a proxy's page comes back
	tooLate               // processed when the sender has given up
)

func newWitness(api http.Handler, patience time.Duration) *witness {
	return &witness{api: api, patience: patience, seen: make(map[graphtest.Event][]acceptance), silence: make(map[string][]silence)}
}

// hush keeps the answers of a dataset's next requests from their senders.
func (w *witness) hush(dataset string, how ...silence) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.silence[dataset] = append(w.silence[dataset], how...)
}

func (w *witness) next(dataset string) silence {
	w.mu.Lock()
	defer w.mu.Unlock()
	queue := w.silence[dataset]
	if len(queue) == 0 {
		return answered
	}
	w.silence[dataset] = queue[1:]
	return queue[0]
}

// server answers one worker. life tells which of its lives it is in.
func (w *witness) server(worker int, life func() int) http.Handler {
	return http.HandlerFunc(func(out http.ResponseWriter, r *http.Request) {
		began, current := time.Now(), life()
		dataset := strings.Split(r.URL.Path, "/")[2]
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return // the sender is gone, and the request is not whole
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		how := w.next(dataset)
		if how == tooLate {
			time.Sleep(w.patience + 200*time.Millisecond)
		}
		answer := httptest.NewRecorder()
		w.api.ServeHTTP(answer, r)
		late := time.Since(began) > w.patience-100*time.Millisecond || r.Context().Err() != nil
		// An API that is not waited for any more answers nothing at all.
		if bytes.Contains(answer.Body.Bytes(), []byte("events_received")) {
			w.remember(dataset, body, acceptance{at: time.Now(), worker: worker, life: current, hidden: how != answered || late})
		}
		give(out, answer, how)
	})
}

func (w *witness) remember(dataset string, body []byte, a acceptance) {
	var request struct {
		Data []struct {
			Name string `json:"event_name"`
			ID   string `json:"event_id"`
		}
	}
	_ = json.Unmarshal(body, &request) // the API has accepted it
	w.mu.Lock()
	defer w.mu.Unlock()
	if a.hidden {
		w.hides++
	}
	for _, e := range request.Data {
		key := graphtest.Event{Dataset: dataset, Name: e.Name, ID: e.ID}
		w.seen[key] = append(w.seen[key], a)
	}
}

// give gives the sender its answer, or what it gets instead.
func give(out http.ResponseWriter, answer *httptest.ResponseRecorder, how silence) {
	body := answer.Body.Bytes()
	switch how {
	case cutOff:
		panic(http.ErrAbortHandler)
	case notYourAnswer:
		out.WriteHeader(http.StatusBadGateway)
		_, _ = out.Write([]byte("<html><body>502 Bad Gateway</body></html>"))
		return
	case halfAnswered:
		body = body[:len(body)/2]
	case answered, tooLate:
	}
	maps.Copy(out.Header(), answer.Header())
	out.WriteHeader(answer.Code)
	_, _ = out.Write(body)
}
