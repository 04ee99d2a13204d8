package config

import (
	"errors"
	"fmt"

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

func defaultGraph() Graph {
	return Graph{
		Config:              graph.DefaultConfig(),
		ForeignAccounts:     admission.WarnForeign,
		Rules:               event.DefaultRules(),
		RestrictedCountries: admission.RestrictedCountries(),
	}
}

func (g *Graph) validate() error {
	faults := []error{g.validateClient(), g.Rules.Validate()}
	if err := g.ForeignAccounts.Validate(); err != nil {
		faults = append(faults, fmt.Errorf("foreign_accounts: %w", err))
	}
	for _, country := range g.RestrictedCountries {
		if err := admission.ValidateCountry(country); err != nil {
			faults = append(faults, fmt.Errorf("restricted_countries: %w", err))
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
