// Package connect opens the connections that the configuration describes.
//
// Neither NATS nor Redis has to be there yet: connections come about when they
// are, and again whenever they break. Credentials are read from their files at
// every attempt, so that replaced ones are used without a restart.
package connect

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/zap"
	"golang.org/x/time/rate"

	"github.com/capi-dispatcher/capi-dispatcher/config"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/rights"
	"github.com/capi-dispatcher/capi-dispatcher/internal/secret"
)

// Role is what a connection to NATS is for. Each role has an inbox of its own,
// so that the right to read the answers to one gives no other's.
type Role string

// The roles.
const (
	Worker  Role = "worker"  // receives everybody's events
	Publish Role = "publish" // receives acknowledgements
	DLQ     Role = "dlq"     // receives dead letters
	// Webhooks receives what webhooks have told.
	Webhooks Role = "webhooks"
)

// Connection is a connection to NATS, and what NATS denies to it.
type Connection struct {
	jetstream.JetStream

	Rights *rights.Watch
}

// NATS connects to NATS, now or as soon as it is there. The caller closes the
// connection.
func NATS(cfg *config.NATS, role Role, log *zap.Logger) (*Connection, error) {
	return connectNATS(cfg, role, log, nats.RetryOnFailedConnect(true))
}

// NATSNow connects to NATS, or says why it can't.
func NATSNow(cfg *config.NATS, role Role) (*Connection, error) {
	return connectNATS(cfg, role, zap.NewNop(), nats.RetryOnFailedConnect(false))
}

func connectNATS(cfg *config.NATS, role Role, log *zap.Logger, first nats.Option) (*Connection, error) {
	log = log.With(zap.String("component", "nats"))
	watch := new(rights.Watch)
	options := append(reconnecting(), reporting(log, watch)...)
	options = append(options, first, nats.CustomInboxPrefix(cfg.InboxPrefix+"_"+string(role)),
		nats.PermissionErrOnSubscribe(true))
	login, err := natsLogin(cfg)
	if err != nil {
		return nil, err
	}
	options = append(options, login...)
	tlsConfig, err := tlsConfig("nats.tls", cfg.TLS)
	if err != nil {
		return nil, err
	}
	if tlsConfig != nil {
		options = append(options, nats.Secure(tlsConfig))
	}
	if err := cfg.URL.Validate(); err != nil { // the client's own error would quote it
		return nil, fmt.Errorf("nats.url: %w", err)
	}
	conn, err := nats.Connect(strings.Join(cfg.URL.List(), ","), options...)
	if err != nil {
		if errors.Is(err, nats.ErrNoServers) {
			err = fmt.Errorf("not connected: nobody answers there: %w", err)
		}
		return nil, fmt.Errorf("nats.url %s: %w", cfg.URL, err)
	}
	js, err := jetStream(conn, cfg.Domain)
	if err != nil {
		conn.Close()
		return nil, fmt.Errorf("nats: %w", err)
	}
	return &Connection{JetStream: js, Rights: watch}, nil
}

func jetStream(conn *nats.Conn, domain string) (jetstream.JetStream, error) {
	options := []jetstream.JetStreamOpt{
		jetstream.WithPublishAsyncMaxPending(16_384),
		jetstream.WithPublishAsyncTimeout(5 * time.Second),
	}
	if domain != "" {
		return jetstream.NewWithDomain(conn, domain, options...)
	}
	return jetstream.New(conn, options...)
}

// reconnecting never gives up. Nothing is kept to be sent after a reconnect: a
// message handed back late would be taken from the worker that has it by then.
func reconnecting() []nats.Option {
	return []nats.Option{
		nats.Timeout(5 * time.Second), // two, the client's own, are little where a machine is busy
		nats.Name("capi-dispatcher"),
		nats.MaxReconnects(-1),
		nats.ReconnectWait(500 * time.Millisecond),
		nats.ReconnectJitter(500*time.Millisecond, time.Second),
		nats.ReconnectBufSize(-1),
		nats.IgnoreAuthErrorAbort(),
		nats.PingInterval(10 * time.Second),
		nats.MaxPingsOutstanding(2),
	}
}

func reporting(log *zap.Logger, watch *rights.Watch) []nats.Option {
	often := rate.Sometimes{First: 10, Interval: time.Second} // a right that is missing may be missed with every message
	return []nats.Option{
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) {
			if err != nil { // nil: we closed it ourselves
				log.Warn("disconnected", zap.Error(err))
			}
		}),
		nats.ReconnectHandler(func(conn *nats.Conn) {
			watch.Reconnected()
			log.Info("connected again", zap.String("server", conn.ConnectedServerName()))
		}),
		nats.ReconnectErrHandler(func(_ *nats.Conn, err error) {
			log.Warn("not connected", zap.Error(err))
		}),
		nats.ErrorHandler(func(conn *nats.Conn, _ *nats.Subscription, err error) {
			if denied := watch.Note(conn, err); denied != nil {
				err = denied
			}
			often.Do(func() { log.Warn("reported by the client", zap.Error(err)) })
		}),
	}
}

// natsLogin is the one way to log in that is configured, if any.
func natsLogin(cfg *config.NATS) ([]nats.Option, error) {
	switch {
	case cfg.CredsFile != "":
		if _, err := os.Stat(cfg.CredsFile); err != nil {
			return nil, fmt.Errorf("nats.creds_file: %w", err)
		}
		return []nats.Option{nats.UserCredentials(cfg.CredsFile)}, nil
	case cfg.NKeySeedFile != "":
		option, err := nats.NkeyOptionFromSeed(cfg.NKeySeedFile)
		if err != nil {
			return nil, fmt.Errorf("nats.nkey_seed_file: %w", err)
		}
		return []nats.Option{option}, nil
	case cfg.User != "":
		read, err := secretReader("nats.password_file", cfg.PasswordFile)
		return []nats.Option{nats.UserInfoHandler(func() (string, string) { return cfg.User, read() })}, err
	case cfg.TokenFile != "":
		read, err := secretReader("nats.token_file", cfg.TokenFile)
		return []nats.Option{nats.TokenHandler(func() string { return read() })}, err
	default:
		return nil, nil
	}
}

// secretReader returns a function that reads a secret's file. The file has to
// be readable now; later, an unreadable one gives an empty secret, and the
// server's refusal tells the rest.
func secretReader(key, path string) (func() string, error) {
	if _, err := secret.ReadFile(path); err != nil {
		return nil, fmt.Errorf("%s: %w", key, err)
	}
	return func() string {
		text, err := secret.ReadFile(path)
		if err != nil {
			return ""
		}
		return text
	}, nil
}

// tlsConfig makes a TLS configuration of files, or nil where none is named.
func tlsConfig(key string, files config.TLS) (*tls.Config, error) {
	if files == (config.TLS{}) {
		return nil, nil //nolint:nilnil // nothing is configured, and that is no error
	}
	cfg := &tls.Config{MinVersion: tls.VersionTLS12}
	if files.CAFile != "" {
		pem, err := os.ReadFile(files.CAFile)
		if err != nil {
			return nil, fmt.Errorf("%s.ca_file: %w", key, err)
		}
		cfg.RootCAs = x509.NewCertPool()
		if !cfg.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("%s.ca_file: %w", key, errors.New("holds no PEM certificate"))
		}
	}
	if files.CertFile != "" {
		if _, err := tls.LoadX509KeyPair(files.CertFile, files.KeyFile); err != nil {
			return nil, fmt.Errorf("%s.cert_file: %w", key, err)
		}
		// Read again for each connection: certificates are replaced in place.
		cfg.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			pair, err := tls.LoadX509KeyPair(files.CertFile, files.KeyFile)
			return &pair, err
		}
	}
	return cfg, nil
}
