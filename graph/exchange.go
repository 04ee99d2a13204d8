package graph

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/url"
	"strings"
)

// ExchangeError says that an exchange with Meta broke off. It is put in our own
// words: those of the cause may quote what came, or the credentials of a proxy.
type ExchangeError struct {
	what  string
	cause error
}

func (e *ExchangeError) Error() string { return e.what }

func (e *ExchangeError) Unwrap() error { return e.cause }

func newExchangeError(cause error) *ExchangeError {
	return &ExchangeError{what: inOurWords(cause), cause: cause}
}

// inOurWords says what broke an exchange off. Words of a library's are used only
// where they are made of nothing but our own addresses and the system's errors.
func inOurWords(err error) string {
	if untrusted, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return "the server's certificate is not trusted: " + whyUntrusted(untrusted)
	}
	if _, ok := errors.AsType[tls.RecordHeaderError](err); ok {
		return "the server does not speak TLS"
	}
	for _, plain := range []error{context.DeadlineExceeded, context.Canceled} {
		if errors.Is(err, plain) {
			return plain.Error()
		}
	}
	if failed, ok := errors.AsType[*net.OpError](err); ok {
		return failed.Error()
	}
	for _, plain := range []error{io.ErrUnexpectedEOF, io.EOF} {
		if errors.Is(err, plain) {
			return plain.Error()
		}
	}
	var network net.Error
	switch {
	case errors.As(err, &network) && network.Timeout():
		return "the exchange took too long"
	case isProxyAddress(err):
		return "the proxy's address in the environment is not a URL"
	default:
		return "the exchange broke off: the proxy would not have it, or what came is no HTTP"
	}
}

func whyUntrusted(err *tls.CertificateVerificationError) string {
	var (
		unknown x509.UnknownAuthorityError
		name    x509.HostnameError
		invalid x509.CertificateInvalidError
	)
	switch {
	case errors.As(err, &unknown):
		return "it is signed by an unknown authority"
	case errors.As(err, &name):
		return "it is for another name"
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return "it has expired or is not valid yet"
	default:
		return "it is not valid"
	}
}

// isProxyAddress reports whether an error is the complaint of net/http about the
// proxy's address, which has no type.
func isProxyAddress(err error) bool {
	if wrapped, ok := errors.AsType[*url.Error](err); ok {
		err = wrapped.Err
	}
	return strings.HasPrefix(err.Error(), "invalid proxy address")
}
