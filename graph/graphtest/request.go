package graphtest

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strings"

	"github.com/capi-dispatcher/capi-dispatcher/graph/graphtest/rules"
)

// parameters are what a request says, in the URL or in its body. Graph takes
// them from JSON objects and from both kinds of forms, as its documents (curl -F)
// and its SDKs send them. Values of a form that are no texts are JSON, and so
// are the elements of a list.
type parameters struct {
	query  url.Values
	form   url.Values
	object map[string]json.RawMessage
}

func readParameters(r *http.Request, body []byte) parameters {
	p := parameters{query: r.URL.Query()}
	kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
	switch kind {
	case "application/x-www-form-urlencoded", "multipart/form-data":
		r.Body = io.NopCloser(bytes.NewReader(body))
		_ = r.ParseMultipartForm(maxBody) // what cannot be read is not there
		p.form = r.PostForm
		if r.MultipartForm != nil {
			_ = r.MultipartForm.RemoveAll()
		}
	default:
		_ = json.Unmarshal(body, &p.object) // likewise
	}
	return p
}

// text is a parameter that is a text; "" if it is not there.
func (p *parameters) text(name string) (text string) {
	if p.query.Has(name) {
		return p.query.Get(name)
	}
	if p.form.Has(name) {
		return p.form.Get(name)
	}
	_ = json.Unmarshal(p.object[name], &text)
	return text
}

// list is a parameter that is a list, as JSON; nil if it is none.
func (p *parameters) list(name string) (elements []json.RawMessage) {
	if !p.form.Has(name) {
		_ = json.Unmarshal(p.object[name], &elements)
		return elements
	}
	_ = json.Unmarshal([]byte(p.form.Get(name)), &elements)
	for i, element := range elements {
		var inner string // Meta's Python SDK encodes each event once more
		if json.Unmarshal(element, &inner) == nil && json.Valid([]byte(inner)) {
			elements[i] = json.RawMessage(inner)
		}
	}
	return elements
}

func (p *parameters) has(name string) bool {
	_, there := p.object[name]
	return there || p.form.Has(name)
}

// token is the access token, from any of the places where Graph takes it.
func (p *parameters) token(r *http.Request) string {
	if bearer, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer "); ok {
		return bearer
	}
	return p.text("access_token")
}

// request is what the API reads of a request for events.
type request struct {
	Data          []json.RawMessage `json:"data"`
	PartnerAgent  string            `json:"partner_agent"`
	TestEventCode string            `json:"test_event_code"`
}

// maxEvents is what Meta takes in one request.
const maxEvents = 1000

func (p *parameters) events() (request, *Error) {
	got := request{Data: p.list("data"), PartnerAgent: p.text("partner_agent"), TestEventCode: p.text("test_event_code")}
	switch {
	case got.Data == nil && (p.has("data") || p.object == nil && p.form == nil):
		return request{}, rules.Invalid("(#100) param data must be an array.")
	case len(got.Data) == 0:
		return request{}, rules.Invalid("(#100) The parameter data is required")
	case len(got.Data) > maxEvents:
		return request{}, rules.Invalid("(#100) Too many events in one request")
	}
	return got, nil
}

// checkProof refuses a request that does not show that its token is used by the
// app, where the app wants that. Source: Meta, "Securing Graph API Calls".
func (a *API) checkProof(p *parameters, token string) *Error {
	if a.cfg.AppSecret == "" {
		return nil
	}
	mac := hmac.New(sha256.New, []byte(a.cfg.AppSecret))
	mac.Write([]byte(token))
	switch p.text("appsecret_proof") {
	case hex.EncodeToString(mac.Sum(nil)):
		return nil
	case "":
		return proofError("API calls from the server require an appsecret_proof argument")
	default:
		return proofError("Invalid appsecret_proof provided in the API argument")
	}
}
