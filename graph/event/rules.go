package event

import (
	"errors"
	"fmt"
	"slices"

	"github.com/capi-dispatcher/capi-dispatcher/graph/event/scalar"
)

// Rules say how events are checked, where that is a matter of choice.
type Rules struct {
	// HashPersonalData normalises and hashes personal data that arrives in
	// the clear, and keeps what cannot be hashed out of everything that is
	// written. If false, it passes through as it is.
	HashPersonalData bool `yaml:"hash_personal_data"`
	// UnusablePersonalData says what to do with personal data in the clear
	// that cannot be normalised, if HashPersonalData is set.
	UnusablePersonalData Extras `yaml:"unusable_personal_data"`
	// DefaultActionSource is the action_source of events that name none; if
	// empty, such an event is faulty.
	DefaultActionSource ActionSource `yaml:"default_action_source"`
	// MessagingEvents are the event names that business messaging knows.
	MessagingEvents []string `yaml:"messaging_events"`
	// MessagingExtras says what to do with members that Meta refuses on
	// business messaging events.
	MessagingExtras Extras `yaml:"messaging_extras"`
	// Attributed: what a messaging event does not say of its person is looked up
	// before it is checked. The decoder does not go by it; the schema does.
	Attributed bool `yaml:"-"`
}

// Extras is what to do with members that must not be there.
type Extras string

// What to do with members that must not be there.
const (
	Remove Extras = "remove"
	Refuse Extras = "refuse"
)

func (e Extras) validate(key string) error {
	if e != Remove && e != Refuse {
		return fmt.Errorf("%s: %q is neither %q nor %q", key, e, Remove, Refuse)
	}
	return nil
}

// DefaultRules returns the rules of Meta's documents (2026), with members that
// must not be there removed.
func DefaultRules() Rules {
	return Rules{
		MessagingEvents: []string{
			"Purchase", "LeadSubmitted", "InitiateCheckout", "AddToCart", "ViewContent",
			"OrderCreated", "OrderShipped", "OrderDelivered", "OrderCanceled", "OrderReturned",
			"CartAbandoned", "QualifiedLead", "RatingProvided", "ReviewProvided",
		},
		MessagingExtras:      Remove,
		UnusablePersonalData: Remove,
	}
}

// Validate reports every setting that cannot work, joined.
func (r Rules) Validate() error {
	var faults []error
	if len(r.MessagingEvents) == 0 {
		faults = append(faults, errors.New("messaging_events: is empty; every messaging event would be a dead letter"))
	}
	faults = append(faults, r.MessagingExtras.validate("messaging_extras"),
		r.UnusablePersonalData.validate("unusable_personal_data"))
	if r.DefaultActionSource != "" && !slices.Contains(ActionSources(), r.DefaultActionSource) {
		faults = append(faults,
			fmt.Errorf("default_action_source: %q is not %s", r.DefaultActionSource, scalar.JoinQuoted(ActionSources())))
	}
	return errors.Join(faults...)
}
