package graph

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"sync/atomic"
	"time"

	"github.com/capi-dispatcher/capi-dispatcher/graph/event"
)

// maxAnswer bounds what is read of an answer. Graph's own are under 2 KB.
const maxAnswer = 64 << 10

// Request is one batch of events for one dataset.
type Request struct {
	Dataset  string
	Envelope event.Envelope
	// Events are JSON objects, sent as they are.
	Events [][]byte
	// Fresh asks for a connection that nothing has been sent on before: for
	// events whose last request got no answer.
	Fresh bool
}

// Client sends requests to one Graph API. It is safe for concurrent use.
type Client struct {
	cfg       Config
	tokens    *Tokens
	appSecret Secret
	http      *http.Client
	fresh     *http.Client // uses each connection once
	stale     stale
}

// New returns a client. The app secret's file is read now, token files when
// they are needed.
func New(cfg Config, transport http.RoundTripper) (*Client, error) {
	c := &Client{cfg: cfg, tokens: NewTokens(cfg.TokenDir), http: newHTTP(transport), fresh: newHTTP(usedOnce(transport))}
	if cfg.AppSecretFile != "" {
		appSecret, err := readSecret(cfg.AppSecretFile)
		if err != nil {
			return nil, fmt.Errorf("app_secret_file: %w", err)
		}
		c.appSecret = appSecret
	}
	return c, nil
}

func newHTTP(transport http.RoundTripper) *http.Client {
	return &http.Client{
		Transport: transport,
		// A redirected POST would be sent twice; Graph does not redirect.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// NewTransport returns a transport for connections to Graph.
//
// It speaks HTTP/1.1, so that each request in flight has a connection of its
// own: one that breaks leaves one batch in doubt and not all of them.
func NewTransport(connections int) *http.Transport {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	dialer := &net.Dialer{Timeout: 5 * time.Second, KeepAlive: 15 * time.Second}
	return &http.Transport{
		Proxy:               http.ProxyFromEnvironment,
		DialContext:         dialer.DialContext,
		TLSHandshakeTimeout: 5 * time.Second,
		MaxIdleConns:        connections,
		MaxIdleConnsPerHost: connections,
		// Shorter than servers usually keep them, so that a request is not
		// written to a connection that is about to close; see [stale] for
		// those that do not keep them for as long.
		IdleConnTimeout:        30 * time.Second,
		MaxResponseHeaderBytes: 256 << 10,
		DisableCompression:     true,
		Protocols:              protocols,
	}
}

// Tokens returns the client's access tokens.
func (c *Client) Tokens() *Tokens { return c.tokens }

// Send posts a request once. It takes no longer than the configured timeout,
// or less if ctx ends; a request cut short after it left is of unknown
// outcome.
func (c *Client) Send(ctx context.Context, request Request) Answer {
	token, err := c.tokens.For(request.Dataset)
	if err != nil {
		return Answer{Verdict: Paused, Cause: err}
	}
	ctx, cancel := context.WithTimeout(ctx, c.cfg.Timeout)
	defer cancel()
	started := time.Now()
	answer := c.post(ctx, request, token)
	answer.Took = time.Since(started)
	return answer
}

// Endpoint returns the address that a dataset's events are posted to.
func (c *Client) Endpoint(dataset string) string {
	target, err := url.JoinPath(c.cfg.URL, c.cfg.Version, dataset, "events")
	if err != nil {
		return c.cfg.URL // it has been checked
	}
	return target
}

func (c *Client) post(ctx context.Context, request Request, token Secret) Answer {
	var progress progress
	httpRequest, err := c.newRequest(progress.trace(ctx), request, token)
	if err != nil {
		return Answer{Verdict: Paused, Cause: err}
	}
	sent := int(httpRequest.ContentLength)
	response, err := c.over(request.Fresh).Do(httpRequest)
	if err != nil {
		c.stale.note(&progress, err)
		answer := progress.judge(err)
		answer.Sent = sent
		return answer
	}
	defer func() { _ = response.Body.Close() }()
	body, err := readAnswer(response)
	answer := Judge(response.StatusCode, response.Header, body, len(request.Events))
	answer.Sent = sent
	answer.redact(token)
	if err != nil && answer.Cause != nil {
		answer.Cause = fmt.Errorf("%w (%w)", answer.Cause, newExchangeError(err))
	}
	return answer
}

func readAnswer(response *http.Response) ([]byte, error) {
	return io.ReadAll(io.LimitReader(response.Body, maxAnswer))
}

func (c *Client) newRequest(ctx context.Context, request Request, token Secret) (*http.Request, error) {
	var signature string
	if c.appSecret != "" {
		signature = proof(c.appSecret, token)
	}
	pieces := requestBody(request.Events, request.Envelope, signature)
	target, err := url.JoinPath(c.cfg.URL, c.cfg.Version, request.Dataset, "events")
	if err != nil {
		return nil, fmt.Errorf("the API's address: %w", err)
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, target, newPieceReader(pieces))
	if err != nil {
		return nil, fmt.Errorf("the API's address: %w", err)
	}
	// Lets net/http send again what it could not even begin to send, on a
	// kept-alive connection that turns out closed. Nothing else is resent.
	r.GetBody = func() (io.ReadCloser, error) { return newPieceReader(pieces), nil }
	r.ContentLength = sizeOf(pieces)
	r.Header.Set("Authorization", "Bearer "+string(token))
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("User-Agent", "capi-dispatcher")
	return r, nil
}

// progress tells how far a request came.
type progress struct {
	connected atomic.Bool
	reused    atomic.Bool // the connection had been used before
	written   atomic.Bool
}

func (p *progress) trace(ctx context.Context) context.Context {
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GotConn: func(info httptrace.GotConnInfo) {
			p.connected.Store(true)
			p.reused.Store(info.Reused)
		},
		WroteHeaders: func() { p.written.Store(true) },
	})
}

// judge judges a request without an answer: once its first byte is written,
// Meta may have it.
func (p *progress) judge(err error) Answer {
	answer := Answer{Verdict: Unknown, Cause: newExchangeError(err)}
	if !p.written.Load() {
		answer.Verdict = Retry
		answer.Unreachable = !p.connected.Load() && !errors.Is(err, context.Canceled)
	}
	return answer
}
