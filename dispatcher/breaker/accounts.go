package breaker

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/health"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/retry"
)

// worries is how long an account is waited for before a person should look.
const worries = time.Hour

// Account is the page and the business accounts that an event names, by their
// ids, as any producer may have written them; "" is none.
type Account struct {
	Dataset   string // "" if it is not known yet
	Page      string
	WhatsApp  string
	Instagram string
}

// Accounts has the circuits of accounts that are not linked to their dataset, or
// whose dataset is not known. Create it with [NewAccounts]. Its methods are safe
// for concurrent use.
type Accounts struct {
	pauses retry.Backoff
	isID   func(text string) bool

	mu       sync.Mutex
	circuits map[Account]*circuit // only of those in trouble
}

// NewAccounts returns accounts that are all well. One that fails is not to be tried
// for as long as pauses say, which is longer each time. isID reports whether a text
// can be an id, so that a person may read it.
func NewAccounts(pauses retry.Backoff, isID func(text string) bool) *Accounts {
	return &Accounts{pauses: pauses, isID: isID, circuits: make(map[Account]*circuit)}
}

// RecordFailure notes that an account is not linked to its dataset. It is not to be
// tried before the time that is returned, and for wait at the least.
func (a *Accounts) RecordFailure(account Account, wait time.Duration) (until time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	c := a.circuit(account)
	c.fail(time.Now(), Unlinked, wait, a.pauses)
	return c.until
}

// RecordNotFound notes that an account's dataset is not known, and not asked for
// again before a given time.
func (a *Accounts) RecordNotFound(account Account, until time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	c := a.circuit(account)
	c.blame(time.Now(), Unlinked)
	c.until = until
}

// RecordSuccess forgets the trouble of an account: it is linked, or found. It
// returns whether there was any.
func (a *Accounts) RecordSuccess(account Account) (recovered bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	_, recovered = a.circuits[account]
	delete(a.circuits, account)
	return recovered
}

// BlockedUntil returns until when an account is not to be tried; zero if it may
// be. news is when something last suggested that it is linked, zero if nothing
// did: if that is later than the last failure, it ends the wait.
func (a *Accounts) BlockedUntil(account Account, news time.Time) time.Time {
	a.mu.Lock()
	defer a.mu.Unlock()
	c := a.circuits[account]
	if c == nil || !time.Now().Before(c.until) || news.After(c.since) {
		return time.Time{}
	}
	return c.until
}

// circuit returns the circuit of an account. To make room for it, another
// account of the same dataset is forgotten, if there is one, so that made-up
// accounts cost only their own dataset.
func (a *Accounts) circuit(of Account) *circuit {
	return kept(a.circuits, of, func(other Account) bool { return other.Dataset == of.Dataset })
}

// Troubles returns the troubles of datasets that have accounts in trouble, one for
// each account.
func (a *Accounts) Troubles() (all []Trouble) {
	a.mu.Lock()
	defer a.mu.Unlock()
	now := time.Now()
	for account, c := range a.circuits {
		if c.lasts(now) {
			all = append(all, Trouble{Dataset: account.Dataset, Reason: c.reason, Began: c.began})
		}
	}
	return all
}

// Condition returns a warning that names accounts which have been waited for for an
// hour, if there are any.
func (a *Accounts) Condition() health.Condition {
	const named = 5
	c := health.Condition{Name: "accounts", OK: true, Warning: true}
	names, since := a.waitedFor()
	if len(names) == 0 {
		return c
	}
	slices.Sort(names)
	if more := len(names) - named; more > 0 {
		names = append(names[:named], fmt.Sprintf("%d more", more))
	}
	c.OK, c.Since = false, since
	c.Reason = "for more than an hour, events have waited for accounts that are not linked or not found: " + strings.Join(names, ", ")
	return c
}

// waitedFor returns the accounts that have been waited for for long, and since when
// the first of them has.
func (a *Accounts) waitedFor() (names []string, since time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	now := time.Now()
	for account, c := range a.circuits {
		if !c.lasts(now) || now.Sub(c.began) < worries {
			continue
		}
		names = append(names, a.name(account))
		if since.IsZero() || c.began.Before(since) {
			since = c.began
		}
	}
	return names, since
}

// name returns the words for an account in the condition.
func (a *Accounts) name(account Account) string {
	var parts []string
	for _, part := range []struct{ kind, id string }{
		{"page", account.Page}, {"WhatsApp Business Account", account.WhatsApp}, {"Instagram account", account.Instagram},
	} {
		if a.isID(part.id) {
			parts = append(parts, part.kind+" "+part.id)
		}
	}
	name := cmp.Or(strings.Join(parts, " and "), "an account without a usable id")
	if account.Dataset == "" {
		return name
	}
	return name + " of dataset " + account.Dataset
}
