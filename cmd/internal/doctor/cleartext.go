package doctor

import (
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/capi-dispatcher/capi-dispatcher/config"
	"github.com/capi-dispatcher/capi-dispatcher/graph"
	"github.com/capi-dispatcher/capi-dispatcher/internal/secret"
)

// examineClearText looks for what travels over networks unencrypted, and for
// secrets that everybody on this machine can read.
func (r *report) examineClearText(cfg *config.Config) {
	before := len(r.findings)
	if cfg.Graph.InClear() {
		r.warn("clear text", fmt.Sprintf("graph.url %s: access tokens travel in the clear", cfg.Graph.URL),
			"use https://, and set graph.insecure to false")
	}
	if address := inClear(cfg.NATS.URL, cfg.NATS.TLS, "nats", "ws"); address != "" {
		r.warn("clear text", fmt.Sprintf("nats.url %s: events, and whoever logs in by a password or a token, travel in the clear unless the server insists on TLS", address),
			"use tls:// or wss://")
	}
	if address := inClear(cfg.Redis.URL, cfg.Redis.TLS, "redis"); address != "" && hasPassword(&cfg.Redis) {
		r.warn("clear text", fmt.Sprintf("redis.url %s: the password travels in the clear", address), "use rediss://")
	}
	r.examineModes(cfg)
	if len(r.findings) == before {
		r.ok("clear text", "secrets are neither sent in the clear nor readable by everybody")
	}
}

// inClear returns the first address, without credentials, that is another
// machine's and has one of the schemes without TLS; empty if there is none, or
// if TLS is configured, which such a scheme does not switch off.
func inClear(addresses secret.URLs, files config.TLS, schemes ...string) string {
	if files != (config.TLS{}) {
		return ""
	}
	for _, address := range addresses.List() {
		parsed, err := url.Parse(address)
		if err != nil || graph.IsLoopback(parsed.Hostname()) {
			continue
		}
		if slices.Contains(schemes, parsed.Scheme) {
			return secret.URLs(address).String()
		}
	}
	return ""
}

func hasPassword(cfg *config.Redis) bool {
	return cfg.PasswordFile != "" || cfg.SentinelPasswordFile != "" || cfg.URL.HasCredentials()
}

// readableByAll is the permission bit for everybody who is neither the owner
// nor in the group.
const readableByAll = 0o004

// examineModes looks at who may read the files with secrets in them. Those that
// cannot be read at all are found elsewhere.
func (r *report) examineModes(cfg *config.Config) {
	var open []string
	for _, file := range secretFiles(cfg) {
		if info, err := os.Stat(file); err == nil && info.Mode().Perm()&readableByAll != 0 {
			open = append(open, fmt.Sprintf("%s (%s)", file, info.Mode().Perm()))
		}
	}
	const most = 5
	more := ""
	if len(open) > most {
		more = fmt.Sprintf(", and %d more", len(open)-most)
		open = open[:most]
	}
	if len(open) > 0 {
		r.warn("secrets' files", "everybody on this machine may read "+strings.Join(open, ", ")+more,
			"chmod o-r; on a volume of Kubernetes, defaultMode: 0440")
	}
}

func secretFiles(cfg *config.Config) (files []string) {
	names, _ := tokenFiles(cfg.Graph.TokenDir) // its error is examineTokens' finding
	for _, name := range names {
		files = append(files, filepath.Join(cfg.Graph.TokenDir, name))
	}
	for _, file := range []string{
		cfg.Graph.AppSecretFile,
		cfg.NATS.CredsFile, cfg.NATS.NKeySeedFile, cfg.NATS.PasswordFile, cfg.NATS.TokenFile, cfg.NATS.TLS.KeyFile,
		cfg.Redis.PasswordFile, cfg.Redis.SentinelPasswordFile, cfg.Redis.TLS.KeyFile,
	} {
		if file != "" {
			files = append(files, file)
		}
	}
	return files
}
