// Package attribution finds the click and the person of messaging events that do not
// name them: captured from webhooks (package webhook), kept as records (clicks), and
// looked up in an index (index), in which people have aliases (keyring).
//
// [Attributor.Search] decides whether an event is to be looked up, and by which
// aliases; [Attributor.Look] does it for many events at once. What the path does
// about the answer is the path's: to complete the event, to let it wait, or to give
// up as configured.
package attribution

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/admission"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/attribution/clicks"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/attribution/index"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/attribution/keyring"
	"github.com/capi-dispatcher/capi-dispatcher/graph/event"
	"github.com/capi-dispatcher/capi-dispatcher/graph/event/reference"
)

// Index is where clicks and people are looked up: an [index.Index].
type Index interface {
	Look(ctx context.Context, queries []index.Query) []index.Found
}

// Attributor looks events up. It is safe for concurrent use.
type Attributor struct {
	cfg      Config
	ring     *keyring.Ring
	index    Index
	accounts map[owner][]string
	datasets map[keyring.Scope]string
}

// owner is the dataset to which accounts of a channel belong.
type owner struct {
	dataset string
	channel event.Channel
}

// New returns an attributor. Only accounts that assets give to a dataset are looked
// into for its events: nobody gets what is known of others by naming an account or a
// phone number.
func New(cfg Config, assets *admission.Assets, ring *keyring.Ring, index Index) *Attributor {
	a := &Attributor{
		cfg: cfg, ring: ring, index: index,
		accounts: make(map[owner][]string), datasets: make(map[keyring.Scope]string),
	}
	for id, account := range assets.WhatsAppAccounts {
		a.own(account.Dataset, event.WhatsApp, id)
	}
	for id, page := range assets.Pages {
		a.own(page.Dataset, event.Messenger, id)
	}
	for id, account := range assets.Instagram {
		a.own(account.Dataset, event.Instagram, id)
	}
	for _, accounts := range a.accounts {
		slices.Sort(accounts)
	}
	return a
}

func (a *Attributor) own(dataset string, channel event.Channel, account string) {
	if dataset == "" {
		return
	}
	of := owner{dataset, channel}
	a.accounts[of] = append(a.accounts[of], account)
	a.datasets[keyring.Scope{Channel: string(channel), Account: account}] = dataset
}

// mostAccounts is how many accounts an event is looked for on that names none.
const mostAccounts = 16

// Search is what an event is looked up by.
type Search struct {
	// Aliases stand for the person, each with its account, where the event has to be
	// stored and looked up again.
	Aliases []string
	// Account is that of the event; "" if it has to be found out as well.
	Account string
	// Person is known without a look-up: it is what the producer has named.
	Person string

	accounts int // that the event may be of
	queries  []index.Query
}

// Known reports whether there is anything to look up: a person to look for, and
// accounts to look into.
func (s *Search) Known() bool { return len(s.queries) > 0 || s.Person != "" }

// Dataset returns the dataset of the account that an event refers to, where the event
// itself names none; "" if that is not under assets.
func (a *Attributor) Dataset(e *event.Event) string {
	if e.Reference == nil || e.Assets.Of(e.Channel) != "" {
		return ""
	}
	return a.datasets[keyring.Scope{Channel: string(e.Channel), Account: e.Reference.Account}]
}

// Search says how an event of a dataset is looked up. stored says that the dispatcher
// has stored the event, so that its aliases count.
func (a *Attributor) Search(dataset string, e *event.Event, stored bool) Search {
	s := Search{Account: e.Assets.Of(e.Channel)}
	accounts := a.accountsOf(dataset, e)
	s.accounts = len(accounts)
	if len(accounts) == 0 || len(accounts) > mostAccounts {
		return s
	}
	if s.Account == "" && len(accounts) == 1 {
		s.Account = accounts[0]
	}
	if e.Channel != event.WhatsApp && e.Reference != nil && event.IsScopedID(e.Reference.User) && s.Account != "" {
		s.Person = e.Reference.User // it is the very id that is missing
	}
	phones := a.phonesOf(e)
	for _, account := range accounts {
		scope := keyring.Scope{Channel: string(e.Channel), Account: account}
		aliases := a.aliasesOf(scope, e.Reference, phones, stored)
		if len(aliases) == 0 {
			continue
		}
		for _, alias := range aliases {
			s.Aliases = append(s.Aliases, account+":"+alias)
		}
		s.queries = append(s.queries, a.query(scope, aliases, e))
	}
	return s
}

// accountsOf are the accounts that an event may be of.
func (a *Attributor) accountsOf(dataset string, e *event.Event) []string {
	named := e.Assets.Of(e.Channel)
	if named == "" && e.Reference != nil {
		named = e.Reference.Account
	}
	of := a.accounts[owner{dataset, e.Channel}]
	switch {
	case named == "":
		return of
	case slices.Contains(of, named):
		return []string{named}
	default:
		return nil
	}
}

// phonesOf are the phone numbers that an event itself holds, as those of Meta's.
func (a *Attributor) phonesOf(e *event.Event) (hashes []string) {
	if e.Channel != event.WhatsApp {
		return nil
	}
	for _, phone := range e.Phones() {
		hashes = append(hashes, clicks.HashPhone(phone))
	}
	return hashes
}

// aliasesOf are all aliases, on an account, of who is named.
func (a *Attributor) aliasesOf(
	scope keyring.Scope, r *reference.Reference, phones []string, stored bool,
) (all []string) {
	if r != nil && stored {
		for _, qualified := range r.Aliases {
			account, alias, _ := strings.Cut(qualified, ":")
			if account == scope.Account && keyring.IsAlias(alias) {
				all = append(all, alias)
			}
		}
	}
	add := func(kind keyring.Kind, name string) {
		if name != "" {
			all = append(all, a.ring.Aliases(scope, kind, name)...)
		}
	}
	if r != nil {
		add(keyring.User, r.User)
		add(keyring.Conversation, r.Conversation)
		if r.Phone != "" {
			add(keyring.Phone, clicks.HashPhone(r.Phone))
		}
		if r.User != "" && scope.Channel == string(event.WhatsApp) {
			add(keyring.Phone, clicks.HashPhone(r.User)) // a wa_id, maybe
		}
	}
	for _, hash := range phones {
		add(keyring.Phone, hash)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// slack is how much later than the event a click may be: clocks differ.
const slack = time.Minute

func (a *Attributor) query(scope keyring.Scope, aliases []string, e *event.Event) index.Query {
	q := index.Query{Scope: scope, Aliases: aliases, People: e.Channel != event.WhatsApp}
	if q.People {
		return q
	}
	q.Until = e.Time.Add(slack)
	if a.cfg.MaxClickAge > 0 {
		q.After = e.Time.Add(-a.cfg.MaxClickAge)
	}
	return q
}

// Match is what was found.
type Match struct {
	// Person is the click, or the id that the channel has for the person; "" if
	// nothing was found.
	Person string
	// Account is where.
	Account string
	// At is when the person clicked, or was seen last.
	At time.Time
	// Err is that it could not be found out.
	Err error
}

// Look looks all of them up at once.
func (a *Attributor) Look(ctx context.Context, searches []Search) []Match {
	var queries []index.Query
	for i := range searches {
		if searches[i].Person == "" {
			queries = append(queries, searches[i].queries...)
		}
	}
	var found []index.Found
	if len(queries) > 0 {
		found = a.index.Look(ctx, queries)
	}
	matches := make([]Match, len(searches))
	for i := range searches {
		s := &searches[i]
		if s.Person != "" {
			matches[i] = Match{Person: s.Person, Account: s.Account}
			continue
		}
		matches[i] = a.latest(s, found[:len(s.queries)])
		found = found[len(s.queries):]
	}
	return matches
}

// latest is the latest of what was found on several accounts.
func (a *Attributor) latest(s *Search, found []index.Found) (m Match) {
	m.Account = s.Account
	for i, f := range found {
		if f.Err != nil {
			return Match{Account: s.Account, Err: f.Err}
		}
		if f.Sealed == "" || m.Person != "" && !f.At.After(m.At) {
			continue
		}
		scope := s.queries[i].Scope
		text, err := a.ring.Open(scope, f.Sealed)
		if err != nil {
			return Match{Account: s.Account, Err: fmt.Errorf("a click of account %s: %w", scope.Account, err)}
		}
		m = Match{Person: text, Account: scope.Account, At: f.At}
	}
	return m
}

// Assets names a found account as the account of an event's channel.
func (m *Match) Assets(channel event.Channel) event.Assets {
	switch channel {
	case event.Messenger:
		return event.Assets{Page: m.Account}
	case event.WhatsApp:
		return event.Assets{WhatsApp: m.Account}
	case event.Instagram:
		return event.Assets{Instagram: m.Account}
	default:
		return event.Assets{}
	}
}
