package doctor

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/capi-dispatcher/capi-dispatcher/config"
	"github.com/capi-dispatcher/capi-dispatcher/graph"
	"github.com/capi-dispatcher/capi-dispatcher/graph/event"
	"github.com/capi-dispatcher/capi-dispatcher/internal/secret"
)

// lastWords is how long a worker may take after its drain timeout: for its
// last word to NATS, the admin port and telemetry.
const lastWords = 15 * time.Second

// examineTimes looks at the times that have to go together. What cannot work
// at all was refused when the configuration was read.
func (r *report) examineTimes(cfg *config.Config) {
	r.ok("lease", "nats.ack_wait %s is at least twice graph.timeout %s: a request ends before its message may go elsewhere",
		cfg.NATS.AckWait, cfg.Graph.Timeout)
	r.ok("memory of events", "dedupe.window %s is longer than the %s that Meta takes events",
		cfg.Dedupe.Window, event.MaxAge)
	if cfg.Delivery.DrainTimeout < cfg.Graph.Timeout {
		r.warn("drain", fmt.Sprintf("delivery.drain_timeout %s is less than graph.timeout %s: a stop cuts requests off, and their outcome is unknown",
			cfg.Delivery.DrainTimeout, cfg.Graph.Timeout),
			fmt.Sprintf("set delivery.drain_timeout to %s or more", cfg.Graph.Timeout))
	}
	grace := (cfg.Delivery.DrainTimeout + lastWords).Round(time.Second)
	found := fmt.Sprintf("a worker takes up to %s to stop", grace)
	advice := "give it as long before it is killed"
	if os.Getenv("KUBERNETES_SERVICE_HOST") != "" {
		advice = fmt.Sprintf("a pod cannot see its grace period: compare terminationGracePeriodSeconds, which should be %d or more", int(grace.Seconds()))
	}
	r.add("grace period", OK, found, advice)
}

// examineTokens looks for the token of every dataset that is configured.
func (r *report) examineTokens(cfg *config.Config) {
	dir := cfg.Graph.TokenDir
	names, err := tokenFiles(dir)
	if err != nil {
		r.fault("tokens", "graph.token_dir: "+err.Error(), "mount the directory with the access tokens")
		return
	}
	tokens, sound := graph.NewTokens(dir), 0
	for _, dataset := range datasets(cfg, names) {
		if _, err := tokens.For(dataset); err != nil {
			r.fault("tokens", err.Error(), "put the access token, and nothing else, into the file")
			continue
		}
		sound++
	}
	switch {
	case len(names) == 0:
		r.fault("tokens", dir+" holds no token", "put one into a file named like its dataset, or default")
	case sound > 0:
		r.ok("tokens", "well-formed for %d of the datasets configured or named by a file in %s; Meta was not asked",
			sound, dir)
	}
	if file := cfg.Graph.AppSecretFile; file != "" {
		if _, err := secret.ReadWord(file); err != nil {
			r.fault("app secret", "graph.app_secret_file: "+err.Error(),
				"put the app secret into the file, or leave the setting out")
		} else {
			r.ok("app secret", "graph.app_secret_file can be read")
		}
	}
}

// datasets lists every dataset that events may go to, as far as is known here.
func datasets(cfg *config.Config, files []string) []string {
	all := slices.Clone(files)
	for id := range cfg.Datasets {
		all = append(all, id)
	}
	for _, asset := range cfg.Assets.Pages {
		all = append(all, asset.Dataset)
	}
	for _, asset := range cfg.Assets.WhatsAppAccounts {
		all = append(all, asset.Dataset)
	}
	for _, asset := range cfg.Assets.Instagram {
		all = append(all, asset.Dataset)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// tokenFiles lists the files of the directory, but for the hidden ones that
// Kubernetes keeps beside a mounted Secret.
func tokenFiles(dir string) (names []string, err error) {
	entries, err := os.ReadDir(dir)
	for _, entry := range entries {
		if strings.HasPrefix(entry.Name(), ".") {
			continue
		}
		if info, err := os.Stat(filepath.Join(dir, entry.Name())); err == nil && info.Mode().IsRegular() {
			names = append(names, entry.Name())
		}
	}
	return names, err
}
