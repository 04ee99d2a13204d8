package graphtest

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"
)

// control adds the routes by which other programs drive the API.
func (a *API) control() {
	a.mux.HandleFunc("PUT /_control/datasets/{id}", func(w http.ResponseWriter, r *http.Request) {
		var body struct {
			Tokens []string `json:"tokens"`
			Assets []string `json:"assets"`
		}
		if readJSON(w, r, &body) {
			a.AddDataset(r.PathValue("id"), body.Tokens...)
			a.LinkAssets(r.PathValue("id"), body.Assets...)
		}
	})
	a.mux.HandleFunc("PUT /_control/assets/{id}", func(w http.ResponseWriter, r *http.Request) {
		var asset Asset
		if readJSON(w, r, &asset) {
			asset.ID = r.PathValue("id")
			a.AddAsset(asset)
		}
	})
	a.mux.HandleFunc("POST /_control/datasets/{id}/faults", func(w http.ResponseWriter, r *http.Request) {
		var faults oneOrMany
		if readJSON(w, r, &faults) {
			a.Script(r.PathValue("id"), faults...)
		}
	})
	a.mux.HandleFunc("PUT /_control/datasets/{id}/fault", func(w http.ResponseWriter, r *http.Request) {
		var faults oneOrMany
		if readJSON(w, r, &faults) && len(faults) > 0 {
			a.Always(r.PathValue("id"), faults[0])
		}
	})
	a.mux.HandleFunc("DELETE /_control/datasets/{id}/fault", func(_ http.ResponseWriter, r *http.Request) {
		a.Clear(r.PathValue("id"))
	})
	a.mux.HandleFunc("GET /_control/ledger", a.getLedger)
	a.mux.HandleFunc("DELETE /_control/ledger", func(http.ResponseWriter, *http.Request) { a.ledger.Reset() })
}

func (a *API) getLedger(w http.ResponseWriter, _ *http.Request) {
	type counted struct {
		Event
		Times int `json:"times"`
	}
	var events []counted
	for event, times := range a.ledger.Counts() {
		events = append(events, counted{event, times})
	}
	slices.SortFunc(events, func(x, y counted) int {
		return strings.Compare(x.Dataset+x.Name+x.ID, y.Dataset+y.Name+y.ID)
	})
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(struct {
		Totals Totals    `json:"totals"`
		Events []counted `json:"events"`
	}{a.ledger.Sum(), events})
}

// oneOrMany reads a fault, or an array of faults.
type oneOrMany []Fault

func (f *oneOrMany) UnmarshalJSON(text []byte) error {
	if !bytes.HasPrefix(bytes.TrimSpace(text), []byte("[")) {
		text = slices.Concat([]byte("["), text, []byte("]"))
	}
	var wires []wireFault
	if err := json.Unmarshal(text, &wires); err != nil {
		return err
	}
	for _, wire := range wires {
		wire.Fault.Delay, wire.Fault.AnswerDelay = time.Duration(wire.Delay), time.Duration(wire.AnswerDelay)
		*f = append(*f, wire.Fault)
	}
	return nil
}

// wireFault is a fault with its delays in words, like "250ms".
type wireFault struct {
	Fault

	Delay       words `json:"delay"`
	AnswerDelay words `json:"answer_delay"`
}

type words time.Duration

func (w *words) UnmarshalText(text []byte) error {
	d, err := time.ParseDuration(string(text))
	*w = words(d)
	return err
}

func readJSON(w http.ResponseWriter, r *http.Request, into any) bool {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err == nil {
		err = json.Unmarshal(body, into)
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return false
	}
	return true
}
