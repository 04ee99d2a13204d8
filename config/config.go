// Package config reads the configuration: defaults, then one YAML file, then
// environment variables.
//
// It is strict. An unknown key is an error, with the nearest known one named;
// all faults are reported at once, each with the path of its key. Secrets are
// given by file, or by environment, never in the file itself, and [Config.YAML]
// never prints one.
package config

import (
	"encoding/json"

	"go.yaml.in/yaml/v3"

	"github.com/capi-dispatcher/capi-dispatcher/batcher"
	"github.com/capi-dispatcher/capi-dispatcher/dedupe"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/admission"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/attribution"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/attribution/clicks"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/streams"
	"github.com/capi-dispatcher/capi-dispatcher/internal/secret"
)

// Config is the whole configuration. What each key means is written in
// docs/configuration.md; a test keeps that complete.
type Config struct {
	NATS     NATS                `yaml:"nats"`
	Redis    Redis               `yaml:"redis"`
	Dedupe   Dedupe              `yaml:"dedupe"`
	Batch    batcher.Config      `yaml:"batch"`
	Delivery dispatcher.Delivery `yaml:"delivery"`
	Graph    Graph               `yaml:"graph"`
	Datasets admission.Datasets  `yaml:"datasets"`
	Assets   admission.Assets    `yaml:"assets"`
	// Attribution and Webhooks are about clicks that are captured on webhooks.
	Attribution attribution.Config `yaml:"attribution"`
	Webhooks    Webhooks           `yaml:"webhooks"`
	Metrics     dispatcher.Metrics `yaml:"metrics"`
	Admin       Admin              `yaml:"admin"`
	Log         Log                `yaml:"log"`
}

// NATS says how to connect to NATS, and which streams to use.
type NATS struct {
	URL          secret.URLs `yaml:"url"`
	CredsFile    string      `yaml:"creds_file"`
	NKeySeedFile string      `yaml:"nkey_seed_file"`
	User         string      `yaml:"user"`
	PasswordFile string      `yaml:"password_file"`
	TokenFile    string      `yaml:"token_file"`
	Domain       string      `yaml:"domain"`
	InboxPrefix  string      `yaml:"inbox_prefix"`
	TLS          TLS         `yaml:"tls"`

	Streams `yaml:",inline"`
}

// Streams says where events come from and go to in NATS.
type Streams = streams.Config

// Redis says how to connect to Redis.
type Redis struct {
	URL                  secret.URLs `yaml:"url"`
	Mode                 RedisMode   `yaml:"mode"`
	SentinelMaster       string      `yaml:"sentinel_master"`
	User                 string      `yaml:"user"`
	PasswordFile         string      `yaml:"password_file"`
	SentinelPasswordFile string      `yaml:"sentinel_password_file"`
	TLS                  TLS         `yaml:"tls"`
}

// RedisMode is what kind of Redis stands behind the addresses.
type RedisMode string

// The kinds of Redis.
const (
	Single   RedisMode = "single"
	Sentinel RedisMode = "sentinel"
	Cluster  RedisMode = "cluster"
)

// TLS names the files for a TLS connection. With all of them empty, the
// system's certificate authorities are trusted and no certificate is shown.
type TLS struct {
	CAFile   string `yaml:"ca_file"`
	CertFile string `yaml:"cert_file"`
	KeyFile  string `yaml:"key_file"`
}

// Dedupe says what tells events apart and how long they are remembered.
type Dedupe struct {
	Key           dispatcher.IdentityKind `yaml:"key"`
	dedupe.Config `yaml:",inline"`
}

// Webhooks says where Meta's webhooks are received.
type Webhooks struct {
	// Address is where to listen, with TLS if there is a certificate.
	Address         string `yaml:"address"`
	VerifyTokenFile string `yaml:"verify_token_file"`
	// AppSecretFiles are the secrets of the apps whose webhooks are taken; with none,
	// only what partners publish is.
	AppSecretFiles []string  `yaml:"app_secret_files"`
	TLS            ServerTLS `yaml:"tls"`
}

// ServerTLS names the files of a server's certificate. With both of them empty, there
// is no TLS.
type ServerTLS struct {
	CertFile string `yaml:"cert_file"`
	KeyFile  string `yaml:"key_file"`
}

// Admin is the HTTP port for probes and metrics.
type Admin struct {
	Address string `yaml:"address"`
	Pprof   bool   `yaml:"pprof"`
}

// Log says what is logged, and how.
type Log struct {
	Level  string    `yaml:"level"`
	Format LogFormat `yaml:"format"`
}

// LogFormat is how log lines look.
type LogFormat string

// The formats of log lines.
const (
	JSON    LogFormat = "json"
	Console LogFormat = "console"
)

// Default returns the settings a careful operator would leave alone.
func Default() Config {
	return Config{
		NATS:        NATS{URL: "nats://localhost:4222", InboxPrefix: "_INBOX_capi", Streams: defaultStreams()},
		Redis:       Redis{URL: "redis://localhost:6379/0", Mode: Single},
		Dedupe:      Dedupe{Key: dispatcher.ByEvent, Config: dedupe.DefaultConfig()},
		Batch:       batcher.DefaultConfig(),
		Delivery:    dispatcher.DefaultDelivery(),
		Graph:       defaultGraph(),
		Attribution: attribution.DefaultConfig(),
		Webhooks:    Webhooks{Address: ":8443"},
		Metrics:     dispatcher.DefaultMetrics(),
		Admin:       Admin{Address: "127.0.0.1:8080"},
		Log:         Log{Level: "info", Format: JSON},
	}
}

func defaultStreams() Streams {
	s := streams.Default()
	s.Section = "nats."
	return s
}

// Dispatcher is the dispatcher's part of the configuration.
func (c *Config) Dispatcher() dispatcher.Config {
	rules := c.Graph.Rules
	rules.Attributed = c.Attribution.Enabled
	return dispatcher.Config{
		Streams: c.NATS.Streams, Delivery: c.Delivery, Identity: c.Dedupe.Key,
		Metrics: c.Metrics, Rules: rules, RequestTimeout: c.Graph.Timeout,
		Config: admission.Config{
			Datasets: c.Datasets, Assets: c.Assets, PartnerAgent: c.Graph.PartnerAgent,
			ForeignAccounts: c.Graph.ForeignAccounts, FillAccounts: c.Graph.FillAccounts,
			RestrictedCountries: c.Graph.RestrictedCountries,
		},
	}
}

// Clicks says where clicks are kept.
func (c *Config) Clicks() clicks.Config {
	kept := c.Attribution.Config
	kept.Consumer, kept.Replicas, kept.Manage = c.NATS.Consumer, c.NATS.Replicas, c.NATS.Manage
	return kept
}

// YAML prints the configuration as a file that would give the same one, but
// for credentials, which are left out.
func (c *Config) YAML() (string, error) {
	text, err := yaml.Marshal(c)
	return string(text), err
}

// JSON writes the same as JSON, with the same keys and values.
func (c *Config) JSON() (string, error) {
	text, err := yaml.Marshal(c)
	if err != nil {
		return "", err
	}
	var tree map[string]any
	if err := yaml.Unmarshal(text, &tree); err != nil {
		return "", err
	}
	text, err = json.MarshalIndent(tree, "", "  ")
	return string(text) + "\n", err
}
