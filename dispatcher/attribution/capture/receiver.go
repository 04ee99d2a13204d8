package capture

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strconv"
	"time"

	"go.uber.org/zap"
	"golang.org/x/time/rate"

	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/attribution/webhook"
)

const (
	// maxBody is more than Meta sends: a thousand updates of a few kilobytes.
	maxBody = 8 << 20
	// patience is how long storing may take: Meta waits for some seconds.
	patience = 4500 * time.Millisecond
)

// Secrets are read anew for each request, so that replaced files are used at once.
type Secrets struct {
	VerifyToken func() (string, error)
	AppSecrets  func() ([]string, error)
}

// Receiver answers Meta's webhooks. It is safe for concurrent use.
type Receiver struct {
	store   *Store
	secrets Secrets
	meters  *Meters
	log     *zap.Logger
	trouble rate.Sometimes // is logged
}

// NewReceiver returns a receiver that stores what is told.
func NewReceiver(store *Store, secrets Secrets, meters *Meters, log *zap.Logger) *Receiver {
	return &Receiver{
		store: store, secrets: secrets, meters: meters, log: log,
		trouble: rate.Sometimes{First: 3, Interval: 10 * time.Second},
	}
}

// ServeHTTP verifies the subscription (GET), and takes updates (POST).
func (r *Receiver) ServeHTTP(w http.ResponseWriter, request *http.Request) {
	var code int
	switch request.Method {
	case http.MethodGet:
		code = r.verify(w, request)
	case http.MethodPost:
		code = r.take(request)
	default:
		w.Header().Set("Allow", "GET, POST")
		code = http.StatusMethodNotAllowed
	}
	r.meters.answered(request.Context(), request.Method, code)
	if code != http.StatusOK {
		http.Error(w, http.StatusText(code), code)
	}
}

// verify answers a subscription with its challenge, and nothing around it.
func (r *Receiver) verify(w http.ResponseWriter, request *http.Request) (code int) {
	token, err := r.secrets.VerifyToken()
	if err != nil {
		r.complain("the verify token cannot be read", err)
		return http.StatusServiceUnavailable
	}
	asked := request.URL.Query()
	challenge := asked.Get("hub.challenge")
	// It goes back into an answer, so it is taken for what Meta sends: a number.
	number, notNumber := strconv.ParseUint(challenge, 10, 64)
	if asked.Get("hub.mode") != "subscribe" || !webhook.Matches(asked.Get("hub.verify_token"), token) || notNumber != nil {
		return http.StatusForbidden
	}
	w.Header().Set("Content-Type", "text/plain")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	_, _ = io.WriteString(w, strconv.FormatUint(number, 10))
	return http.StatusOK
}

// take stores what a body tells, and returns what is to be answered: Meta sends a body
// again that was not answered with 200.
func (r *Receiver) take(request *http.Request) (code int) {
	body, err := io.ReadAll(http.MaxBytesReader(nil, request.Body, maxBody))
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large):
		return http.StatusRequestEntityTooLarge
	case err != nil:
		return http.StatusBadRequest
	}
	secrets, err := r.secrets.AppSecrets()
	if err != nil {
		r.complain("an app secret cannot be read", err)
		return http.StatusServiceUnavailable
	}
	if !webhook.Verify(request.Header.Get(webhook.SignatureHeader), body, secrets) {
		return http.StatusUnauthorized
	}
	ctx, cancel := context.WithTimeout(request.Context(), patience)
	defer cancel()
	reduced, err := webhook.Reduce(body)
	if err != nil {
		r.meters.took(ctx, "malformed", 1)
		r.complain("a webhook cannot be read; it is not asked for again", err)
		return http.StatusOK
	}
	if err := r.store.Store(ctx, reduced); err != nil {
		r.complain("a webhook cannot be stored; Meta will send it again", err)
		return http.StatusServiceUnavailable
	}
	return http.StatusOK
}

func (r *Receiver) complain(what string, err error) {
	r.trouble.Do(func() { r.log.Warn(what, zap.Error(err)) })
}
