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

	"github.com/capi-dispatcher/capi-dispatcher/graph/event"
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
	// ResolveDatasets has the dispatcher ask Meta for the datasets of
	// accounts that are not configured.
	ResolveDatasets bool `yaml:"resolve_datasets"`
	// PartnerAgent is sent where neither request nor dataset names one.
	PartnerAgent string `yaml:"partner_agent"`

	// ForeignAccounts says what to do with events whose account belongs to
	// another dataset.
	ForeignAccounts ForeignAccounts `yaml:"foreign_accounts"`
	// FillAccounts fills the dataset's only account of a channel into messaging
	// events that name none.
	FillAccounts bool `yaml:"fill_accounts"`

	event.Rules `yaml:",inline"`

	// RestrictedCountries are where Meta takes no messaging events from pages
	// and Instagram accounts, as ISO 3166-1 codes in capitals.
	RestrictedCountries []string `yaml:"restricted_countries"`
}

// ForeignAccounts is what to do with events whose page, WhatsApp Business Account
// or Instagram account belongs to another dataset.
type ForeignAccounts string

// What to do with events of foreign accounts.
const (
	WarnForeign    ForeignAccounts = "warn"    // count them
	RefuseForeign  ForeignAccounts = "refuse"  // dead-letter them
	RerouteForeign ForeignAccounts = "reroute" // send them to the account's dataset
)

// restricted are the member states of the European Union, Norway, Iceland and
// Liechtenstein, the United Kingdom, and Japan. Source: respond.io's help for
// its Conversions API step, after Meta (2026).
const restricted = "AT BE BG CY CZ DE DK EE ES FI FR GR HR HU IE IT LT LU LV MT NL PL PT RO SE SI SK NO IS LI GB JP"

// DefaultConfig returns the settings a careful operator would leave alone.
func DefaultConfig() Config {
	return Config{
		URL:      "https://graph.facebook.com",
		Version:  "v26.0",
		Timeout:  15 * time.Second,
		TokenDir: "/etc/capi-dispatcher/tokens",

		ForeignAccounts:     WarnForeign,
		Rules:               event.DefaultRules(),
		RestrictedCountries: strings.Fields(restricted),
	}
}

// Validate reports every setting that cannot work, joined.
func (c Config) Validate() error {
	var faults []error
	if err := checkURL(c.URL); err != nil {
		faults = append(faults, fmt.Errorf("url: %w", err))
	} else if c.InClear() && !c.Insecure {
		faults = append(faults, fmt.Errorf("url: %s would send access tokens over the network in the clear; use https://, or set graph.insecure to true", c.URL))
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
	if c.ForeignAccounts != WarnForeign && c.ForeignAccounts != RefuseForeign && c.ForeignAccounts != RerouteForeign {
		faults = append(faults, fmt.Errorf("foreign_accounts: %q is neither %q, %q nor %q",
			c.ForeignAccounts, WarnForeign, RefuseForeign, RerouteForeign))
	}
	faults = append(faults, c.Rules.Validate())
	for _, country := range c.RestrictedCountries {
		if !IsCountry(country) {
			faults = append(faults,
				fmt.Errorf("restricted_countries: %q is not a country of ISO 3166-1 in capitals, like DE", country))
		}
	}
	return errors.Join(faults...)
}

// IsCountry tells a country code of ISO 3166-1, in capitals.
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
