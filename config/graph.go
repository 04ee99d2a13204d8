package config

import (
	"errors"
	"fmt"
	"strings"

	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/admission"
	"github.com/capi-dispatcher/capi-dispatcher/graph"
	"github.com/capi-dispatcher/capi-dispatcher/graph/event"
)

// Graph says how to reach the Graph API, and what goes there.
type Graph struct {
	graph.Config `yaml:",inline"`

	// ResolveDatasets has Meta asked for the datasets of accounts that are not
	// configured.
	ResolveDatasets bool `yaml:"resolve_datasets"`
	// PartnerAgent is sent where neither request nor dataset names one.
	PartnerAgent string `yaml:"partner_agent"`

	// ForeignAccounts says what to do with events whose account belongs to
	// another dataset.
	ForeignAccounts admission.ForeignAccounts `yaml:"foreign_accounts"`
	// FillAccounts fills the dataset's only account of a channel into messaging
	// events that name none.
	FillAccounts bool `yaml:"fill_accounts"`

	event.Rules `yaml:",inline"`

	// RestrictedCountries are where Meta takes no messaging events from pages
	// and Instagram accounts, as ISO 3166-1 codes in capitals.
	RestrictedCountries []string `yaml:"restricted_countries"`
}

// restricted are the member states of the European Union, Norway, Iceland and
// Liechtenstein, the United Kingdom, and Japan. Source: respond.io's help for
// its Conversions API step, after Meta (2026).
const restricted = "AT BE BG CY CZ DE DK EE ES FI FR GR HR HU IE IT LT LU LV MT NL PL PT RO SE SI SK NO IS LI GB JP"

func defaultGraph() Graph {
	return Graph{
		Config:              graph.DefaultConfig(),
		ForeignAccounts:     admission.WarnForeign,
		Rules:               event.DefaultRules(),
		RestrictedCountries: strings.Fields(restricted),
	}
}

func (g *Graph) validate() error {
	faults := []error{g.validateClient(), g.Rules.Validate()}
	const warn, refuse, reroute = admission.WarnForeign, admission.RefuseForeign, admission.RerouteForeign
	if g.ForeignAccounts != warn && g.ForeignAccounts != refuse && g.ForeignAccounts != reroute {
		faults = append(faults, fmt.Errorf("foreign_accounts: %q is neither %q, %q nor %q",
			g.ForeignAccounts, warn, refuse, reroute))
	}
	for _, country := range g.RestrictedCountries {
		if !graph.IsCountry(country) {
			faults = append(faults, fmt.Errorf("restricted_countries: %q is not a country of ISO 3166-1 in capitals, like DE", country))
		}
	}
	return errors.Join(faults...)
}

// validateClient adds to what the client finds wrong which key can help.
func (g *Graph) validateClient() error {
	var faults []error
	for _, fault := range flatten(g.Config.Validate()) {
		if errors.Is(fault, graph.ErrInClear) {
			fault = fmt.Errorf("%w; use https://, or set graph.insecure to true", fault)
		}
		faults = append(faults, fault)
	}
	return errors.Join(faults...)
}
