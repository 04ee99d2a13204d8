package graph

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
)

// Kind is what an account is: it decides about the permissions that are needed.
type Kind string

// The kinds of accounts that have a dataset.
const (
	Page            Kind = "page"
	WhatsAppAccount Kind = "whatsapp_business_account"
	InstagramUser   Kind = "instagram_account"
)

func (k Kind) String() string {
	switch k {
	case WhatsAppAccount:
		return "WhatsApp Business Account"
	case InstagramUser:
		return "Instagram account"
	default:
		return string(k)
	}
}

// Permissions are what a token needs to read or create the dataset of such an
// account. Source: Meta, "Conversions API for Business Messaging" (2026).
func (k Kind) Permissions() []string {
	switch k {
	case WhatsAppAccount:
		return []string{"whatsapp_business_management", "whatsapp_business_manage_events"}
	case InstagramUser:
		return []string{"instagram_manage_events"}
	default:
		return []string{"page_events"}
	}
}

// Asset is a page or account whose events go to a dataset.
type Asset struct {
	Kind Kind
	ID   string
}

func (a Asset) String() string { return a.Kind.String() + " " + a.ID }

// ErrNoDataset says that Meta knows the account, and it has no dataset.
var ErrNoDataset = errors.New("has no dataset")

// ErrAssetID says that an id is none: Meta's ids are digits.
var ErrAssetID = errors.New("is not an account id: digits only")

// DatasetError says why the dataset of an account could not be found out. It
// wraps the cause: an [*Error] of Graph's, [ErrNoToken], or a transport's.
type DatasetError struct {
	Asset Asset
	// Answer is what came back. Its verdict is never [Refused]: nothing is
	// said against any event. With [Paused], a person has to mend something;
	// with any other it is worth trying again, after RetryAfter at least.
	Answer Answer
	// Missing are the permissions that the token lacks, one of them or all;
	// nil if it is not about permissions.
	Missing []string
}

func (e *DatasetError) Error() string {
	text := fmt.Sprintf("the dataset of %s: %s", e.Asset, e.reason())
	if e.Missing != nil {
		return fmt.Sprintf("%s; give the token's app and system user %s, and assign the account to them",
			text, strings.Join(e.Missing, " and "))
	}
	return text + "; " + e.advice()
}

// reason is what Meta answered. Codes that are of a dataset where events are sent
// are of the account here.
func (e *DatasetError) reason() string {
	if failed := e.Answer.Error; e.isUnreachable() {
		return fmt.Sprintf("graph error %s: %s unknown, or the token has no access to it",
			ErrorCode{failed.Code, failed.Subcode}, e.Asset.Kind)
	}
	return e.Answer.Reason()
}

// isUnreachable reports whether Meta knows no such account, or says so.
func (e *DatasetError) isUnreachable() bool {
	failed := e.Answer.Error
	return failed != nil && failed.Code == 100 && failed.Subcode == 33
}

func (e *DatasetError) advice() string {
	switch failed := e.Answer.Error; {
	case failed != nil && failed.Code == 190:
		return "put a valid access token into the file named for the account, or into " + defaultToken
	case e.isUnreachable():
		return "check the id, and that the token's app or system user is assigned to the account"
	case e.Temporary():
		return "try again later"
	default:
		return "it has to be mended before it is tried again"
	}
}

func (e *DatasetError) Unwrap() error {
	if e.Answer.Error != nil {
		return e.Answer.Error
	}
	return e.Answer.Cause
}

// Temporary reports whether it is worth trying again without mending anything.
func (e *DatasetError) Temporary() bool { return e.Answer.Verdict != Paused }

// Dataset asks Meta once for the dataset of an account. It is sent with the
// token in the file of the account's id, else with the default one. Errors are
// [ErrAssetID], [ErrNoDataset] or a [*DatasetError].
func (c *Client) Dataset(ctx context.Context, asset Asset) (id string, err error) {
	return c.askDataset(ctx, asset, http.MethodGet, "")
}

// CreateDataset gives an account a dataset, or returns the one it has. The name
// may be empty. Errors are as those of [Client.Dataset]; it may be repeated.
func (c *Client) CreateDataset(ctx context.Context, asset Asset, name string) (id string, err error) {
	return c.askDataset(ctx, asset, http.MethodPost, name)
}

func (c *Client) askDataset(ctx context.Context, asset Asset, method, name string) (string, error) {
	if !IsID(asset.ID) {
		return "", fmt.Errorf("%q %w", asset.ID, ErrAssetID)
	}
	ctx, cancel := context.WithTimeout(ctx, c.cfg.Timeout)
	defer cancel()
	id, answer := c.exchange(ctx, asset, method, name)
	switch {
	case answer.Verdict != Accepted:
		return "", newDatasetError(asset, answer)
	case id == "":
		return "", fmt.Errorf("%s %w", asset, ErrNoDataset)
	default:
		return id, nil
	}
}

func newDatasetError(asset Asset, answer Answer) *DatasetError {
	e := &DatasetError{Asset: asset, Answer: answer}
	if answer.Verdict == Refused {
		e.Answer.Verdict = Paused
	}
	if failed := answer.Error; failed != nil &&
		(failed.Code == 3 || failed.Code == 10 || failed.Code >= 200 && failed.Code <= 299) {
		e.Missing = asset.Kind.Permissions()
	}
	return e
}

// exchange makes one request. Reading and creating do no harm when they are
// repeated, so an answer that did not come is no reason to wonder.
func (c *Client) exchange(ctx context.Context, asset Asset, method, name string) (id string, answer Answer) {
	token, err := c.tokens.For(asset.ID)
	if err != nil {
		return "", Answer{Verdict: Paused, Cause: err}
	}
	request, err := c.newDatasetRequest(ctx, asset, method, name, token)
	if err != nil {
		return "", Answer{Verdict: Paused, Cause: err}
	}
	response, err := c.http.Do(request)
	if err != nil {
		return "", Answer{Verdict: Retry, Cause: newExchangeError(err)}
	}
	defer func() { _ = response.Body.Close() }()
	body, err := readAnswer(response)
	if err != nil {
		return "", Answer{Verdict: Retry, Status: response.StatusCode, Cause: newExchangeError(err)}
	}
	id, answer = readDataset(response.StatusCode, response.Header, body)
	answer.redact(token)
	return id, answer
}

// newDatasetRequest writes the request. The token is in a header only; what
// proves that it is the app's is no secret.
func (c *Client) newDatasetRequest(
	ctx context.Context, asset Asset, method, name string, token Secret,
) (*http.Request, error) {
	target, err := url.JoinPath(c.cfg.URL, c.cfg.Version, asset.ID, "dataset")
	if err != nil {
		return nil, fmt.Errorf("the API's address: %w", err)
	}
	parameters := make(map[string]string)
	if name != "" {
		parameters["dataset_name"] = name
	}
	if c.appSecret != "" {
		parameters["appsecret_proof"] = proof(c.appSecret, token)
	}
	var body io.Reader = http.NoBody
	if method == http.MethodPost {
		text, err := json.Marshal(parameters)
		if err != nil {
			return nil, err
		}
		body = bytes.NewReader(text)
	} else if signature := parameters["appsecret_proof"]; signature != "" {
		target += "?appsecret_proof=" + signature
	}
	r, err := http.NewRequestWithContext(ctx, method, target, body)
	if err != nil {
		return nil, fmt.Errorf("the API's address: %w", err)
	}
	r.Header.Set("Authorization", "Bearer "+string(token))
	r.Header.Set("User-Agent", "capi-dispatcher")
	if method == http.MethodPost {
		r.Header.Set("Content-Type", "application/json")
	}
	return r, nil
}

// readDataset reads an answer: {"id":"…"} or {"data":[{"id":"…"}]}, both of
// which have been seen, or an empty list for none.
func readDataset(status int, header http.Header, body []byte) (string, Answer) {
	var wire struct {
		ID   string `json:"id"`
		Data *[]struct {
			ID string `json:"id"`
		} `json:"data"`
	}
	answer := Judge(status, header, body, 0)
	if answer.Error != nil || status < 200 || status > 299 {
		if answer.Verdict == Unknown {
			answer.Verdict = Retry
		}
		return "", answer
	}
	err := json.Unmarshal(body, &wire)
	answer.Verdict, answer.Cause = Accepted, nil
	if wire.Data != nil && len(*wire.Data) > 0 {
		wire.ID = (*wire.Data)[0].ID
	}
	switch {
	case err == nil && IsID(wire.ID):
		return wire.ID, answer
	case err == nil && wire.ID == "" && wire.Data != nil && len(*wire.Data) == 0:
		return "", answer
	default:
		answer.Verdict, answer.Cause = Retry, fmt.Errorf("HTTP %d without a dataset id: %s", status, describe(body))
		return "", answer
	}
}

// IsID reports whether a text can be an id of Meta's: digits, and not too many.
// Ids go into URLs and subjects, so nothing else may pass.
func IsID(text string) bool {
	return text != "" && len(text) <= 32 && strings.Trim(text, "0123456789") == ""
}
