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

// Route is a route by which other programs drive the API.
type Route struct {
	// Pattern is method and path.
	Pattern string
	// Does is what it does, and what its body holds.
	Does string

	handle func(*API, http.ResponseWriter, *http.Request)
}

// ControlRoutes lists the routes by which other programs drive the API.
func ControlRoutes() []Route {
	return []Route{
		{"PUT /_control/datasets/{id}", `{"tokens":["…"],"assets":["…"]}: create or change a dataset; it takes events of any account, or of these`, (*API).putDataset},
		{"PUT /_control/assets/{id}", `{"kind":"page|whatsapp|instagram","dataset":"…","tokens":["…"],"barred":["…"]}: create or change an account`, (*API).putAsset},
		{
			"POST /_control/datasets/{id}/faults",
			`{"status":500} or an array: script the next requests, one fault each`, (*API).postFaults,
		},
		{"PUT /_control/datasets/{id}/fault", `{"status":429}: for every request from now on`, (*API).putFault},
		{"DELETE /_control/datasets/{id}/fault", "no more faults, scripted ones included", (*API).deleteFault},
		{"GET /_control/ledger", "totals, and each event with how often it was accepted", (*API).getLedger},
		{"DELETE /_control/ledger", "forget everything accepted", (*API).deleteLedger},
	}
}

// control adds the routes by which other programs drive the API.
func (a *API) control() {
	for _, route := range ControlRoutes() {
		a.mux.HandleFunc(route.Pattern, func(w http.ResponseWriter, r *http.Request) { route.handle(a, w, r) })
	}
}

func (a *API) putDataset(w http.ResponseWriter, r *http.Request) {
	var body struct {
		Tokens []string `json:"tokens"`
		Assets []string `json:"assets"`
	}
	if readJSON(w, r, &body) {
		a.AddDataset(r.PathValue("id"), body.Tokens...)
		a.LinkAssets(r.PathValue("id"), body.Assets...)
	}
}

func (a *API) putAsset(w http.ResponseWriter, r *http.Request) {
	var asset Asset
	if readJSON(w, r, &asset) {
		asset.ID = r.PathValue("id")
		a.AddAsset(asset)
	}
}

func (a *API) postFaults(w http.ResponseWriter, r *http.Request) {
	var faults oneOrMany
	if readJSON(w, r, &faults) {
		a.Script(r.PathValue("id"), faults...)
	}
}

func (a *API) putFault(w http.ResponseWriter, r *http.Request) {
	var faults oneOrMany
	if readJSON(w, r, &faults) && len(faults) > 0 {
		a.Always(r.PathValue("id"), faults[0])
	}
}

func (a *API) deleteFault(_ http.ResponseWriter, r *http.Request) { a.Clear(r.PathValue("id")) }

func (a *API) deleteLedger(http.ResponseWriter, *http.Request) { a.ledger.Reset() }

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
