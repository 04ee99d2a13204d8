package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/spf13/cobra"
)

// The receiver's own paths, beside all others, which are taken for Meta's.
const (
	countsPath    = "/bench/counts"
	latenciesPath = "/bench/latencies"
)

// counts is what the receiver has got so far.
type counts struct {
	Requests int
	Events   int
	Distinct int
	Last     time.Time // when the latest event came
}

// latencies are how long events took from publisher to receiver.
type latencies struct {
	Events         int
	P50, P99, P999 time.Duration
}

// receiver takes every request but those with poison in them. It must cost little
// beside what is measured, so it looks for nothing in a body but the ids.
type receiver struct {
	answerAfter time.Duration
	bodies      sync.Pool

	mu     sync.Mutex
	counts counts
	seen   []bool // by the number of the event
	took   []time.Duration
}

func receiverCommand() *cobra.Command {
	r := &receiver{bodies: sync.Pool{New: func() any { return new(bytes.Buffer) }}}
	command := &cobra.Command{
		Use:    "receiver",
		Short:  "Take requests in Meta's place",
		Hidden: true,
		Args:   cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			listener, err := new(net.ListenConfig).Listen(cmd.Context(), "tcp", "127.0.0.1:0")
			if err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "receiving on http://%s\n", listener.Addr())
			return r.serve(cmd.Context(), listener)
		},
	}
	command.Flags().DurationVar(&r.answerAfter, "answer-after", 0, "how long an answer takes")
	return command
}

// serve serves until ctx ends.
func (r *receiver) serve(ctx context.Context, listener net.Listener) error {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /", r.receive)
	mux.HandleFunc("POST "+spansPath, discardSpans)
	mux.HandleFunc("GET "+countsPath, func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, r.tell()) })
	mux.HandleFunc("POST "+latenciesPath, func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, r.takeLatencies()) })
	server := &http.Server{Handler: mux, ReadHeaderTimeout: time.Minute}
	ended := context.AfterFunc(ctx, func() { _ = server.Close() })
	defer ended()
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

func (r *receiver) receive(w http.ResponseWriter, request *http.Request) {
	body := r.bodies.Get().(*bytes.Buffer)
	defer r.bodies.Put(body)
	body.Reset()
	if _, err := body.ReadFrom(request.Body); err != nil {
		http.Error(w, "the body breaks off", http.StatusBadRequest)
		return
	}
	if bytes.Contains(body.Bytes(), []byte(poisonous)) {
		time.Sleep(r.answerAfter)
		r.refuse(w)
		return
	}
	events, err := r.note(body.Bytes(), time.Now())
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	time.Sleep(r.answerAfter)
	writeJSON(w, map[string]int{"events_received": events})
}

// refuse answers as Meta does to a body with an event that it does not like.
func (r *receiver) refuse(w http.ResponseWriter) {
	r.mu.Lock()
	r.counts.Requests++
	r.mu.Unlock()
	const invalidParameter = 100
	w.WriteHeader(http.StatusBadRequest)
	writeJSON(w, map[string]any{"error": map[string]any{
		"message": "Invalid parameter", "type": "OAuthException", "code": invalidParameter, "error_subcode": 2804003,
	}})
}

// note counts the events of a body.
func (r *receiver) note(body []byte, now time.Time) (events int, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	defer func() {
		r.counts.Requests++
		r.counts.Events += events
		r.counts.Last = now
	}()
	idMember := []byte(`"event_id":"`)
	for {
		_, rest, found := bytes.Cut(body, idMember)
		if !found {
			return events, nil
		}
		published, number, err := readID(rest)
		if err != nil {
			return events, err
		}
		events++
		r.see(number)
		r.took = append(r.took, now.Sub(published))
		body = rest
	}
}

func (r *receiver) see(number int) {
	if missing := number + 1 - len(r.seen); missing > 0 {
		r.seen = append(r.seen, make([]bool, missing)...)
	}
	if !r.seen[number] {
		r.seen[number] = true
		r.counts.Distinct++
	}
}

// readID reads the id that a text begins with: see [event].
func readID(text []byte) (published time.Time, number int, err error) {
	const longest = 40
	id, _, _ := bytes.Cut(text[:min(longest, len(text))], []byte{'"'})
	first, second, _ := bytes.Cut(id, []byte{'-'})
	nanoseconds, err := strconv.ParseInt(string(first), 10, 64)
	if err != nil {
		return time.Time{}, 0, fmt.Errorf("event_id: %w", err)
	}
	const most = 100_000_000 // of an id that is not ours, so that it does not cost all memory
	number, err = strconv.Atoi(string(second))
	if err != nil || number < 0 || number > most {
		return time.Time{}, 0, fmt.Errorf("event_id %q is none of ours", id)
	}
	return time.Unix(0, nanoseconds), number, nil
}

func (r *receiver) tell() counts {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.counts
}

// takeLatencies tells the latencies of the events since it was last asked.
func (r *receiver) takeLatencies() latencies {
	r.mu.Lock()
	took := r.took
	r.took = nil
	r.mu.Unlock()
	slices.Sort(took)
	return latencies{
		Events: len(took), P50: quantile(took, 0.5), P99: quantile(took, 0.99), P999: quantile(took, 0.999),
	}
}

// quantile is the shortest time of a sorted list that such a part of it does not
// exceed.
func quantile(sorted []time.Duration, part float64) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[max(0, int(math.Ceil(part*float64(len(sorted))))-1)]
}

func writeJSON(w http.ResponseWriter, value any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(value) // fails where nobody listens any more
}
