package graphtest

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
)

// Kind is what an account is.
type Kind string

// The kinds of accounts.
const (
	Page      Kind = "page"
	WhatsApp  Kind = "whatsapp" // a WhatsApp Business Account
	Instagram Kind = "instagram"
)

// Asset is an account that has a dataset, or may get one.
type Asset struct {
	ID   string `json:"id"`
	Kind Kind   `json:"kind"`
	// Dataset is the id of its dataset, "" while it has none.
	Dataset string `json:"dataset"`
	// Name is the dataset_name that the dataset was created with.
	Name string `json:"name"`
	// Tokens may read and create the dataset.
	Tokens []string `json:"tokens"`
	// Barred are tokens that are sound, but lack the permission.
	Barred []string `json:"barred"`
	// Listed makes reading answer {"data":[{"id":"…"}]} instead of
	// {"id":"…"}. Both have been seen of the live API.
	Listed bool `json:"listed"`

	requests int
}

// AddAsset makes an account exist, or replaces it.
func (a *API) AddAsset(asset Asset) {
	a.mu.Lock()
	defer a.mu.Unlock()
	asset.Tokens, asset.Barred = slices.Clone(asset.Tokens), slices.Clone(asset.Barred)
	a.assets[asset.ID] = &asset
}

// AssetRequests returns how often the dataset of an account was asked for,
// since it was added.
func (a *API) AssetRequests(id string) int {
	a.mu.Lock()
	defer a.mu.Unlock()
	if asset := a.assets[id]; asset != nil {
		return asset.requests
	}
	return 0
}

func (a *API) countAssetRequest(id string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if asset := a.assets[id]; asset != nil {
		asset.requests++
	}
}

// dataset is GET and POST /{version}/{asset}/dataset. Creating what is there
// already returns it. Faults are scripted by the account's id.
func (a *API) dataset(w http.ResponseWriter, r *http.Request) {
	id := r.PathValue("asset")
	a.countAssetRequest(id)
	fault := a.nextFault(id)
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil || !pause(r, a.cfg.Latency+fault.Delay) {
		return
	}
	if fault.refuses() {
		a.misbehave(w, fault, nil)
		return
	}
	asset, refusal := a.asset(id, r, body)
	if refusal != nil {
		a.fail(w, refusal)
		return
	}
	if pause(r, fault.AnswerDelay) {
		a.write(w, http.StatusOK, asset.answer(r.Method))
	}
}

// asset finds an account for a token that may see it, and gives it a dataset if the
// request wants that.
func (a *API) asset(id string, r *http.Request, body []byte) (Asset, *Error) {
	asked := readParameters(r, body)
	token := asked.token(r)
	a.mu.Lock()
	defer a.mu.Unlock()
	asset := a.assets[id]
	switch {
	case token == "":
		return Asset{}, tokenMissing()
	case asset == nil:
		return Asset{}, unknownObject(r.Method, id)
	case slices.Contains(asset.Barred, token):
		return Asset{}, PermissionMissing()
	case !slices.Contains(asset.Tokens, token):
		return Asset{}, badToken()
	}
	if refusal := a.checkProof(&asked, token); refusal != nil {
		return Asset{}, refusal
	}
	if r.Method == http.MethodPost && asset.Dataset == "" {
		a.createDataset(asset, asked.text("dataset_name"))
	}
	return *asset, nil
}

// createDataset gives an account a dataset. The API is locked.
func (a *API) createDataset(asset *Asset, name string) {
	asset.Dataset, asset.Name = fmt.Sprintf("9%015d", a.traces.Add(1)), name
	a.datasets[asset.Dataset] = &dataset{created: true, tokens: slices.Clone(asset.Tokens)}
}

func (a *Asset) answer(method string) []byte {
	type id struct {
		ID string `json:"id"`
	}
	var answer any = id{a.Dataset}
	switch {
	case a.Dataset == "":
		answer = map[string][]id{"data": {}}
	case method == http.MethodGet && a.Listed:
		answer = map[string][]id{"data": {{a.Dataset}}}
	}
	body, err := json.Marshal(answer)
	if err != nil {
		panic(err) // strings
	}
	return body
}
