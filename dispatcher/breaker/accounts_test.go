package breaker_test

import (
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/breaker"
)

// newAccounts takes digits for ids.
func newAccounts() *breaker.Accounts {
	return breaker.NewAccounts(pauses, func(text string) bool { return text != "" && strings.Trim(text, "0123456789") == "" })
}

func page(dataset, id string) breaker.Account { return breaker.Account{Dataset: dataset, Page: id} }

// An account that fails is not to be tried for a while, for longer each time; the
// dataset's others are.
func TestAnAccountFails(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a := newAccounts()
		for _, minutes := range []int{1, 2, 4, 8, 8} {
			until := a.RecordFailure(page("1", "11"), 0)
			longest := time.Duration(minutes) * time.Minute
			require.GreaterOrEqual(t, time.Until(until), longest/2)
			require.LessOrEqual(t, time.Until(until), longest)
			time.Sleep(time.Second)
			require.Equal(t, until, a.RecordFailure(page("1", "11"), time.Hour), "batches in flight fail as one")
			require.Equal(t, until, a.BlockedUntil(page("1", "11"), never))
			require.Zero(t, a.BlockedUntil(page("1", "12"), never))
			require.Zero(t, a.BlockedUntil(page("2", "11"), never), "it may be linked to another")
			sleepUntil(until)
			require.Zero(t, a.BlockedUntil(page("1", "11"), never))
		}
		require.Equal(t, time.Now().Add(time.Hour), a.RecordFailure(page("1", "11"), time.Hour), "Meta asks for that")
	})
}

// An account is all the ids that an event names.
func TestAccountsAreToldApart(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a := newAccounts()
		a.RecordFailure(breaker.Account{Dataset: "1", Page: "11", WhatsApp: "12"}, 0)
		for _, other := range []breaker.Account{
			{Dataset: "1", Page: "11"},
			{Dataset: "1", WhatsApp: "12"},
			{Page: "11", WhatsApp: "12"},
			{Dataset: "1", Page: "12", WhatsApp: "11"},
			{Dataset: "1", Page: "11", WhatsApp: "12", Instagram: "13"},
		} {
			require.Zero(t, a.BlockedUntil(other, never), "%+v", other)
		}
	})
}

// News since the last failure end the wait; so does a success, which is told of once.
func TestAnAccountIsLinked(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a, account := newAccounts(), page("1", "11")
		a.RecordFailure(account, 0)
		time.Sleep(time.Second)
		a.RecordFailure(account, 0)
		failed := time.Now()
		time.Sleep(time.Second)
		require.NotZero(t, a.BlockedUntil(account, failed), "that is no news")
		require.Zero(t, a.BlockedUntil(account, time.Now()))
		require.NotZero(t, a.BlockedUntil(account, never), "others go on waiting")

		require.False(t, a.RecordSuccess(page("1", "12")))
		require.True(t, a.RecordSuccess(account))
		require.False(t, a.RecordSuccess(account))
		require.Zero(t, a.BlockedUntil(account, never))
		require.Empty(t, a.Troubles())
		until := a.RecordFailure(account, 0)
		require.LessOrEqual(t, time.Until(until), time.Minute, "it begins anew")
	})
}

// An account whose dataset is not known waits for as long as the caller says, and is
// another than one of a dataset.
func TestAnAccountIsNotFound(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a, began := newAccounts(), time.Now()
		for _, wait := range []time.Duration{time.Hour, time.Minute} {
			a.RecordNotFound(page("", "11"), began.Add(wait))
			require.Equal(t, began.Add(wait), a.BlockedUntil(page("", "11"), never))
		}
		require.Zero(t, a.BlockedUntil(page("1", "11"), never))
		require.Equal(t, []breaker.Trouble{{Reason: breaker.Unlinked, Began: began}}, a.Troubles())
		time.Sleep(4*time.Minute - 1)
		require.Len(t, a.Troubles(), 1)
		time.Sleep(time.Nanosecond)
		require.Empty(t, a.Troubles(), "nobody has waited for a while")
	})
}

// Accounts that somebody makes up for a dataset of his crowd out no other's.
func TestMadeUpAccountsCrowdNoOtherDatasetOut(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a := newAccounts()
		a.RecordFailure(page("2", "made up"), 0)
		until := a.RecordFailure(page("1", "11"), 0)
		for i := range 5 * breaker.MaxKept {
			a.RecordFailure(page("2", strconv.Itoa(i)), 0)
		}
		require.Equal(t, until, a.BlockedUntil(page("1", "11"), never))
		require.Len(t, a.Troubles(), breaker.MaxKept)
	})
}

// After an hour a person hears which accounts are waited for, and events flow all
// the same.
func TestAccountsThatAreWaitedForForLongAreNamed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a, began := newAccounts(), time.Now()
		both := breaker.Account{Dataset: "1", Page: "106", WhatsApp: "102"}
		asked := breaker.Account{Instagram: "77"}
		for range 60 {
			c := a.Condition()
			require.True(t, c.OK)
			require.Empty(t, c.Reason)
			a.RecordFailure(both, 0)
			a.RecordNotFound(asked, time.Now().Add(time.Minute))
			time.Sleep(time.Minute)
		}
		c := a.Condition()
		require.Equal(t, "accounts", c.Name)
		require.False(t, c.OK)
		require.False(t, c.Blocks())
		require.Equal(t, began, c.Since)
		require.Equal(t, "for more than an hour, events have waited for accounts that are not linked or not found: "+
			"Instagram account 77, page 106 and WhatsApp Business Account 102 of dataset 1", c.Reason)
		require.Len(t, a.Troubles(), 2, "an alert can see both")

		time.Sleep(8*time.Minute + 3*time.Minute)
		require.True(t, a.Condition().OK, "nobody waits any more")
	})
}

// What is linked is not named; of many, five are; and an id that is none is not told.
func TestWhichAccountsAreNamed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a := newAccounts()
		a.RecordFailure(page("1", "<made up>"), 2*time.Hour)
		time.Sleep(time.Minute)
		for i := range 8 {
			a.RecordFailure(page("1", strconv.Itoa(i)), 2*time.Hour)
		}
		time.Sleep(time.Hour - time.Minute)
		const begins = "for more than an hour, events have waited for accounts that are not linked or not found: "
		require.Equal(t, begins+"an account without a usable id of dataset 1", a.Condition().Reason)
		since := a.Condition().Since
		time.Sleep(time.Minute)
		require.Equal(t, begins+"an account without a usable id of dataset 1, page 0 of dataset 1, page 1 of dataset 1, "+
			"page 2 of dataset 1, page 3 of dataset 1, 4 more", a.Condition().Reason)
		require.Equal(t, since, a.Condition().Since, "the first")
		for i := range 8 {
			a.RecordSuccess(page("1", strconv.Itoa(i)))
		}
		a.RecordSuccess(page("1", "<made up>"))
		require.True(t, a.Condition().OK)
	})
}
