package admission

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/capi-dispatcher/capi-dispatcher/graph"
	"github.com/capi-dispatcher/capi-dispatcher/internal/faults"
)

// Config is what is decided by.
type Config struct {
	Datasets Datasets
	Assets   Assets
	// ForeignAccounts says what to do with events whose account belongs to
	// another dataset; "" is [WarnForeign].
	ForeignAccounts ForeignAccounts
	// FillAccounts fills a dataset's only account into messaging events that
	// name none.
	FillAccounts bool
	// RestrictedCountries are where Meta takes no messaging events from pages
	// and Instagram accounts.
	RestrictedCountries []string
	// PartnerAgent is for datasets that name none.
	PartnerAgent string
}

// Datasets are what differs for some datasets, by id.
type Datasets map[string]Dataset

// Dataset is what differs for one dataset.
type Dataset struct {
	PartnerAgent  string `yaml:"partner_agent"`
	TestEventCode string `yaml:"test_event_code"`
}

// Asset is a page or an Instagram account: the dataset that its events go to,
// and the country it is registered in, as ISO 3166-1 code in capitals. Either
// may be "".
type Asset struct {
	Dataset string `yaml:"dataset"`
	Country string `yaml:"country"`
}

// WhatsAppAccount is a WhatsApp Business Account. Meta restricts none of these
// by country.
type WhatsAppAccount struct {
	Dataset string `yaml:"dataset"`
}

// Assets are what is known of the accounts that events belong to, by id. The
// datasets are for events on Subject.auto.
type Assets struct {
	Pages            map[string]Asset           `yaml:"pages"`
	WhatsAppAccounts map[string]WhatsAppAccount `yaml:"whatsapp_business_accounts"`
	Instagram        map[string]Asset           `yaml:"instagram_accounts"`
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

// DatasetIDs lists the datasets that are configured.
func (c *Config) DatasetIDs() []string {
	ids := slices.Collect(maps.Keys(c.Datasets))
	for _, assets := range []map[string]Asset{c.Assets.Pages, c.Assets.Instagram} {
		for _, asset := range assets {
			ids = append(ids, asset.Dataset)
		}
	}
	for _, account := range c.Assets.WhatsAppAccounts {
		ids = append(ids, account.Dataset)
	}
	return slices.DeleteFunc(ids, func(id string) bool { return id == "" })
}

// restricted are the member states of the European Union, Norway, Iceland and
// Liechtenstein, the United Kingdom, and Japan. Source: respond.io's help for
// its Conversions API step, after Meta (2026).
const restricted = "AT BE BG CY CZ DE DK EE ES FI FR GR HR HU IE IT LT LU LV MT NL PL PT RO SE SI SK NO IS LI GB JP"

// RestrictedCountries are where Meta takes no messaging events from pages and
// Instagram accounts, as far as is known.
func RestrictedCountries() []string { return strings.Fields(restricted) }

// Validate reports every dataset that is none, joined.
func (d Datasets) Validate() error {
	var found faults.List
	for id := range d {
		found.Check(graph.IsID(id), id, "is not a dataset id: digits only")
	}
	return found.Join()
}

// Validate reports every setting that cannot work, joined.
func (a *Assets) Validate() error {
	var found faults.List
	for kind, assets := range map[string]map[string]Asset{"pages": a.Pages, "instagram_accounts": a.Instagram} {
		for id, asset := range assets {
			key := kind + "." + id
			checkCountry(&found, key+".country", asset.Country)
			checkDataset(&found, key+".dataset", asset.Dataset, asset.Country == "")
		}
	}
	for id, account := range a.WhatsAppAccounts {
		checkDataset(&found, "whatsapp_business_accounts."+id+".dataset", account.Dataset, true)
	}
	return found.Join()
}

// Validate reports a word that says nothing.
func (f ForeignAccounts) Validate() error {
	if f == WarnForeign || f == RefuseForeign || f == RerouteForeign {
		return nil
	}
	return fmt.Errorf("%q is neither %q, %q nor %q", f, WarnForeign, RefuseForeign, RerouteForeign)
}

// ValidateCountry reports a country that is none.
func ValidateCountry(country string) error {
	if graph.IsCountry(country) {
		return nil
	}
	return fmt.Errorf("%q is not a country of ISO 3166-1 in capitals, like DE", country)
}

func checkDataset(f *faults.List, key, id string, required bool) {
	f.Check(graph.IsID(id) || id == "" && !required, key, "%q is not a dataset id: digits only", id)
}

func checkCountry(f *faults.List, key, country string) {
	if err := ValidateCountry(country); err != nil && country != "" {
		*f = append(*f, fmt.Errorf("%s: %w", key, err))
	}
}
