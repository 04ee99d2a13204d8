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

	handle func(control, http.ResponseWriter, *http.Request)
}

// ControlRoutes lists the routes by which other programs drive the API.
func ControlRoutes() []Route {
	return []Route{
		{"PUT /_control/datasets/{id}", `{"tokens":["…"],"assets":["…"]}: create or change a dataset; it takes events of any account, or of these`, control.putDataset},
		{"PUT /_control/assets/{id}", `{"kind":"page|whatsapp|instagram","dataset":"…","tokens":["…"],"barred":["…"]}: create or change an account`, control.putAsset},
		{"POST /_control/datasets/{id}/faults", `{"status":500} or an array: script the next requests, one fault each`, control.postFaults},
		{"PUT /_control/datasets/{id}/fault", `{"status":429}: for every request from now on`, control.putFault},
		{"DELETE /_control/datasets/{id}/fault", "no more faults, scripted ones included", control.deleteFault},
		{"POST /_control/webhooks", `{"url":"…","app_secret":"…","body":{…}}: sign a webhook as Meta does and send it there; the answer's code is {"status":200}`, control.postWebhook},
		{"GET /_control/ledger", "totals, and each event with how often it was accepted", control.getLedger},
		{"DELETE /_control/ledger", "forget everything accepted", control.deleteLedger},
	}
}

// control is how other programs drive the API.
type control struct{ *API }

// routes adds its routes.
func (c control) routes() {
	for _, route := range ControlRoutes() {
		c.mux.HandleFunc(route.Pattern, func(w http.ResponseWriter, r *http.Request) { route.handle(c, w, r) })
	}
}

func (c control) putDataset(w http.ResponseWriter, r *http.Request) {
	var body struct {
		Tokens []string `json:"tokens"`
		Assets []string `json:"assets"`
	}
	if readJSON(w, r, &body) {
		c.AddDataset(r.PathValue("id"), body.Tokens...)
		c.LinkAssets(r.PathValue("id"), body.Assets...)
	}
}

func (c control) putAsset(w http.ResponseWriter, r *http.Request) {
	var asset Asset
	if readJSON(w, r, &asset) {
		asset.ID = r.PathValue("id")
		c.AddAsset(asset)
	}
}

func (c control) postFaults(w http.ResponseWriter, r *http.Request) {
	var faults oneOrMany
	if readJSON(w, r, &faults) {
		c.Script(r.PathValue("id"), faults...)
	}
}

func (c control) putFault(w http.ResponseWriter, r *http.Request) {
	var faults oneOrMany
	if readJSON(w, r, &faults) && len(faults) > 0 {
		c.Always(r.PathValue("id"), faults[0])
	}
}

func (c control) deleteFault(_ http.ResponseWriter, r *http.Request) { c.Clear(r.PathValue("id")) }

func (c control) deleteLedger(http.ResponseWriter, *http.Request) { c.ledger.Reset() }

func (c control) getLedger(w http.ResponseWriter, _ *http.Request) {
	type counted struct {
		Event
		Times int `json:"times"`
	}
	var events []counted
	for event, times := range c.ledger.Counts() {
		events = append(events, counted{event, times})
	}
	slices.SortFunc(events, func(x, y counted) int {
		return strings.Compare(x.Dataset+x.Name+x.ID, y.Dataset+y.Name+y.ID)
	})
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(struct {
		Totals Totals    `json:"totals"`
		Events []counted `json:"events"`
	}{c.ledger.Sum(), events})
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
