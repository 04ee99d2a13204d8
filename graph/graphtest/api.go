package graphtest

import (
	"net/http"
	"slices"
	"sync"
	"time"
)

// Config says how a simulated API behaves where Meta leaves it open.
type Config struct {
	// AnyDataset makes every numeric dataset id exist and takes any token
	// for it.
	AnyDataset bool
	// Latency is how long every answer takes.
	Latency time.Duration
	// AppSecret, if there is one, makes every request prove that its token is
	// used by the app: with an appsecret_proof.
	AppSecret string
	// KeepEvents makes the ledger keep the bytes of each accepted event.
	KeepEvents bool
	// Now is the API's clock, time.Now by default.
	Now func() time.Time
}

// API is a simulated Graph API. It is an [http.Handler], and safe for
// concurrent use.
type API struct {
	answers

	cfg    Config
	mux    *http.ServeMux
	ledger *Ledger

	mu       sync.Mutex
	datasets map[string]*dataset
	assets   map[string]*Asset
}

// dataset is what the API knows of one dataset.
type dataset struct {
	tokens  []string
	assets  []string // linked accounts; empty: any account will do
	script  []Fault
	always  *Fault
	created bool // by AddDataset, not by a fault set ahead
}

// New returns an API without datasets.
func New(cfg Config) *API {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	a := &API{
		cfg: cfg, ledger: newLedger(cfg.KeepEvents), datasets: make(map[string]*dataset),
		assets: make(map[string]*Asset),
	}
	a.mux = http.NewServeMux()
	a.mux.HandleFunc("POST /{version}/{dataset}/events", a.postEvents)
	a.mux.HandleFunc("GET /{version}/{asset}/dataset", a.dataset)
	a.mux.HandleFunc("POST /{version}/{asset}/dataset", a.dataset)
	control{a}.routes()
	a.mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		a.fail(w, unknownPath(r.URL.Path))
	})
	return a
}

// ServeHTTP answers like graph.facebook.com, and under /_control like nothing
// of Meta's: see [ControlRoutes].
func (a *API) ServeHTTP(w http.ResponseWriter, r *http.Request) { a.mux.ServeHTTP(w, r) }

// AddDataset makes a dataset exist, with the tokens that may write to it, or
// replaces its tokens.
func (a *API) AddDataset(id string, tokens ...string) {
	a.with(id, func(d *dataset) { d.created, d.tokens = true, slices.Clone(tokens) })
}

// LinkAssets makes a dataset refuse events of any page, WhatsApp Business
// Account or Instagram account but these.
func (a *API) LinkAssets(id string, assets ...string) {
	a.with(id, func(d *dataset) { d.assets = slices.Clone(assets) })
}

// Script makes the next requests to a dataset, or about an account's, run into these faults, one each.
// A zero Fault lets its request through.
func (a *API) Script(id string, faults ...Fault) {
	a.with(id, func(d *dataset) { d.script = append(d.script, faults...) })
}

// Always makes every request to a dataset run into this fault, once its script
// is through.
func (a *API) Always(id string, fault Fault) {
	a.with(id, func(d *dataset) { d.always = &fault })
}

// Clear ends all faults of a dataset.
func (a *API) Clear(id string) {
	a.with(id, func(d *dataset) { d.script, d.always = nil, nil })
}

// Ledger returns the record of what was accepted.
func (a *API) Ledger() *Ledger { return a.ledger }

func (a *API) with(id string, change func(*dataset)) {
	a.mu.Lock()
	defer a.mu.Unlock()
	d := a.datasets[id]
	if d == nil {
		d = &dataset{}
		a.datasets[id] = d
	}
	change(d)
}

// nextFault takes the fault that the next request to a dataset runs into.
func (a *API) nextFault(id string) (fault Fault) {
	a.with(id, func(d *dataset) {
		switch {
		case len(d.script) > 0:
			fault, d.script = d.script[0], d.script[1:]
		case d.always != nil:
			fault = *d.always
		}
	})
	return fault
}

// admit checks that the dataset exists and the token may write to it, and
// returns its linked accounts.
func (a *API) admit(id, token string, p *parameters) (assets []string, refusal *Error) {
	if token == "" {
		return nil, tokenMissing()
	}
	a.with(id, func(d *dataset) {
		switch {
		case a.cfg.AnyDataset && !d.created:
		case !d.created:
			refusal = unknownObject(http.MethodPost, id)
		case !slices.Contains(d.tokens, token):
			refusal = badToken()
		}
		assets = d.assets
	})
	if refusal == nil {
		refusal = a.checkProof(p, token)
	}
	return assets, refusal
}
