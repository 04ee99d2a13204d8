package graph

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"regexp"
	"strings"
	"time"

	"golang.org/x/text/language"
)

// Config says how to reach the Graph API.
type Config struct {
	// URL is the API's address, without the version.
	URL string `yaml:"url"`
	// Insecure allows a URL that sends access tokens over a network in the
	// clear.
	Insecure bool `yaml:"insecure"`
	// Version is the Graph API version, like v26.0.
	Version string `yaml:"version"`
	// Timeout bounds one request, from dialling to the answer's last byte.
	Timeout time.Duration `yaml:"timeout"`
	// TokenDir holds the access tokens: see [Tokens].
	TokenDir string `yaml:"token_dir"`
	// AppSecretFile holds the app secret; if set, requests carry an
	// appsecret_proof.
	AppSecretFile string `yaml:"app_secret_file"`
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

// ErrInClear says that a URL is not encrypted, and leads to another machine.
var ErrInClear = errors.New("would send access tokens over the network in the clear")

// Validate reports every setting that cannot work, joined.
func (c Config) Validate() error {
	var faults []error
	if err := checkURL(c.URL); err != nil {
		faults = append(faults, fmt.Errorf("url: %w", err))
	} else if c.InClear() && !c.Insecure {
		faults = append(faults, fmt.Errorf("url: %s %w", c.URL, ErrInClear))
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

// IsCountry reports whether a text is a country code of ISO 3166-1, in capitals.
func IsCountry(code string) bool {
	region, err := language.ParseRegion(code)
	return err == nil && region.IsCountry() && region.String() == code
}

// InClear reports whether requests, access tokens and all, leave this machine
// unencrypted.
func (c Config) InClear() bool {
	u, err := url.Parse(c.URL)
	return err == nil && u.Scheme == "http" && !IsLoopback(u.Hostname())
}

// IsLoopback reports whether a host's name or address is this machine's own.
func IsLoopback(host string) bool {
	address, err := netip.ParseAddr(host)
	return strings.EqualFold(host, "localhost") || err == nil && address.Unmap().IsLoopback()
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
