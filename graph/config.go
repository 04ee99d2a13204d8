package graph

import (
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"time"
)

// Config says how to reach the Graph API.
type Config struct {
	// URL is the API's address, without the version.
	URL string `yaml:"url"`
	// Version is the Graph API version, like v26.0.
	Version string `yaml:"version"`
	// Timeout bounds one request, from dialling to the answer's last byte.
	Timeout time.Duration `yaml:"timeout"`
	// TokenDir holds the access tokens: see [Tokens].
	TokenDir string `yaml:"token_dir"`
	// AppSecretFile holds the app secret; if set, requests carry an
	// appsecret_proof.
	AppSecretFile string `yaml:"app_secret_file"`
	// ResolveDatasets has the dispatcher ask Meta for the datasets of
	// accounts that are not configured.
	ResolveDatasets bool `yaml:"resolve_datasets"`
	// PartnerAgent is sent where neither request nor dataset names one.
	PartnerAgent string `yaml:"partner_agent"`
}

// DefaultConfig returns the settings a careful operator would leave alone.
func DefaultConfig() Config {
	return Config{
		URL:      "https://graph.facebook.com",
		Version:  "v26.0",
		Timeout:  15 * time.Second,
		TokenDir: "/etc/capi-dispatcher/tokens",
	}
}

// Validate reports every setting that cannot work, joined.
func (c Config) Validate() error {
	var faults []error
	if err := checkURL(c.URL); err != nil {
		faults = append(faults, fmt.Errorf("url: %w", err))
	}
	if !regexp.MustCompile(`^v\d+\.\d+$`).MatchString(c.Version) {
		faults = append(faults, fmt.Errorf("version: %q is not of the form v26.0", c.Version))
	}
	if c.Timeout < 100*time.Millisecond || c.Timeout > 2*time.Minute {
		faults = append(faults, fmt.Errorf("timeout: %s is not between 100ms and 2m", c.Timeout))
	}
	if c.TokenDir == "" {
		faults = append(faults, errors.New("token_dir: is empty; name the directory with the access tokens"))
	}
	return errors.Join(faults...)
}

func checkURL(raw string) error {
	u, err := url.Parse(raw)
	switch {
	case err != nil:
		return errors.New("is not a URL")
	case u.Scheme != "https" && u.Scheme != "http":
		return errors.New("has to begin with https:// or http://")
	case u.Host == "":
		return errors.New("names no host")
	case u.User != nil || u.RawQuery != "":
		return errors.New("must hold no credentials and no query")
	default:
		return nil
	}
}
