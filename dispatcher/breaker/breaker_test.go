package breaker_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/breaker"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/retry"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// pauses double from one minute to eight.
var pauses = retry.Backoff{Initial: time.Minute, Max: 8 * time.Minute}

// tokens are those of datasets; all others have the same.
type tokens map[string]string

func (t tokens) Fingerprint(dataset string) string {
	if token, ok := t[dataset]; ok {
		return token
	}
	return "token"
}

// never is when nobody has heard anything.
var never time.Time

const known = "1"

// newBreaker knows one dataset; all others are made up.
func newBreaker(tokens tokens) *breaker.Breaker {
	return breaker.New(pauses, tokens, func(dataset string) bool { return dataset == known })
}

func failure(dataset string) breaker.Failure {
	return breaker.Failure{Dataset: dataset, Token: "token", Reason: breaker.Failing}
}

func appWide(dataset string) breaker.Failure {
	return breaker.Failure{Dataset: dataset, Token: "token", AppWide: true, Reason: breaker.Throttled}
}

// acquired is the permit for a dataset, which may not be denied.
func acquired(t *testing.T, b *breaker.Breaker, dataset string) *breaker.Permit {
	t.Helper()
	permit, until := b.Acquire(dataset, never)
	require.NotNil(t, permit, "denied until %v", until)
	require.Zero(t, until)
	return permit
}

// denied is until when a dataset may not be sent for.
func denied(t *testing.T, b *breaker.Breaker, dataset string) time.Time {
	t.Helper()
	permit, until := b.Acquire(dataset, never)
	require.Nil(t, permit)
	require.True(t, until.After(time.Now()))
	return until
}

// sleepUntil ends at the moment, and not after it.
func sleepUntil(at time.Time) { time.Sleep(time.Until(at)) }

func TestNobodyIsInTrouble(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBreaker(nil)
		first, second := acquired(t, b, "1"), acquired(t, b, "1")
		require.False(t, first.Probes())
		require.False(t, second.Probes())
		require.Zero(t, b.TurnAway("1", first))
		require.Zero(t, b.TurnAway("1", nil))
		require.Empty(t, b.RecordSuccess("1", "token", time.Now()))
		require.Empty(t, b.Troubles())
		try, freed := b.TakeProbes()
		require.Empty(t, try)
		require.Empty(t, freed)
		first.Release()
		second.Release()
	})
}

// A failure keeps the dataset's batches from being sent, and no other's.
func TestAFailureOpensItsDatasetsCircuit(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBreaker(nil)
		until, news := b.RecordFailure(failure("1"))
		require.True(t, news)
		require.Equal(t, until, denied(t, b, "1"))
		require.False(t, acquired(t, b, "2").Probes(), "another dataset of the app's")
		sleepUntil(until.Add(-1))
		denied(t, b, "1")
		sleepUntil(until)
		require.True(t, acquired(t, b, "1").Probes())
	})
}

// Several batches in flight fail as one.
func TestAnOpenCircuitIsNotOpenedAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBreaker(nil)
		first, _ := b.RecordFailure(failure("1"))
		time.Sleep(time.Second)
		until, news := b.RecordFailure(failure("1"))
		require.False(t, news)
		require.Equal(t, first, until)
		sleepUntil(first)
		until, news = b.RecordFailure(failure("1"))
		require.True(t, news)
		require.GreaterOrEqual(t, time.Until(until), time.Minute, "the second, and not the third")
		require.LessOrEqual(t, time.Until(until), 2*time.Minute)
	})
}

// Each failure opens the circuit for twice as long, half of it at random; a success
// begins anew.
func TestACircuitIsOpenForLongerEachTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBreaker(nil)
		for range 2 {
			for _, minutes := range []int{1, 2, 4, 8, 8, 8} {
				until, news := b.RecordFailure(failure("1"))
				require.True(t, news)
				longest := time.Duration(minutes) * time.Minute
				require.GreaterOrEqual(t, time.Until(until), longest/2)
				require.LessOrEqual(t, time.Until(until), longest)
				sleepUntil(until)
			}
			require.Equal(t, []string{"1"}, b.RecordSuccess("1", "token", time.Now()))
		}
	})
}

// Who is asked to wait for longer than that does so.
func TestWhatMetaAsksForIsTheLeast(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b, f := newBreaker(nil), failure("1")
		f.Wait = time.Hour
		until, _ := b.RecordFailure(f)
		require.Equal(t, time.Hour, time.Until(until))
		f = failure("2")
		f.Wait = time.Second
		until, _ = b.RecordFailure(f)
		require.GreaterOrEqual(t, time.Until(until), 30*time.Second)
	})
}

// There is reason to hope when the token is replaced, and when another worker got
// through since.
func TestHopeEndsTheWait(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		of := tokens{}
		b, before := newBreaker(of), time.Now()
		time.Sleep(time.Second)
		b.RecordFailure(failure("1"))
		b.RecordFailure(failure("2"))
		time.Sleep(time.Second)
		for _, news := range []time.Time{never, before, before.Add(time.Second)} {
			permit, _ := b.Acquire("1", news)
			require.Nil(t, permit, "it has failed since")
		}
		permit, _ := b.Acquire("1", time.Now())
		require.True(t, permit.Probes())

		of["2"] = "replaced"
		require.True(t, acquired(t, b, "2").Probes())
		until, news := b.RecordFailure(breaker.Failure{Dataset: "2", Token: "replaced"})
		require.True(t, news, "the wait of before was over")
		require.Equal(t, until, denied(t, b, "2"), "the new one has failed, too")
	})
}

// What was begun before a failure says nothing of what comes after it.
func TestASuccessOfBefore(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b, begun := newBreaker(nil), time.Now()
		time.Sleep(time.Second)
		b.RecordFailure(failure("1"))
		require.Empty(t, b.RecordSuccess("1", "token", begun))
		denied(t, b, "1")
		require.Equal(t, []string{"1"}, b.RecordSuccess("1", "token", time.Now()))
		acquired(t, b, "1")
	})
}

// An app's trouble is that of all its datasets: who was turned away recovers with it.
func TestAnAppsTrouble(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBreaker(tokens{"9": "another"})
		until, news := b.RecordFailure(appWide("3"))
		require.True(t, news)
		require.Equal(t, until, denied(t, b, "1"))
		require.Equal(t, until, denied(t, b, "1"))
		require.Equal(t, until, b.TurnAway("2", nil))
		acquired(t, b, "9")
		require.Empty(t, b.RecordSuccess("9", "another", time.Now()))
		sleepUntil(until)
		require.True(t, acquired(t, b, "4").Probes())
		denied(t, b, "5")
		require.Equal(t, []string{"1", "2", "3", "4", "5"}, b.RecordSuccess("4", "token", time.Now()))
		require.False(t, acquired(t, b, "1").Probes())
	})
}

// A dataset and an app are told apart, whatever a token's fingerprint looks like.
func TestAnAppIsNoDataset(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBreaker(tokens{"2": "1", "3": ""})
		b.RecordFailure(failure("1"))
		acquired(t, b, "2")
		b.RecordFailure(breaker.Failure{Dataset: "3", AppWide: true}) // there is no token
		denied(t, b, "3")
		acquired(t, b, "2")
	})
}

// A pause is as long as was asked for, ends no other, and is no failure.
func TestPause(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBreaker(tokens{"9": "another"})
		began := time.Now()
		b.Pause("1", "token", false, time.Minute)
		b.Pause("1", "token", false, time.Second)
		require.Equal(t, began.Add(time.Minute), denied(t, b, "1"))
		acquired(t, b, "2")
		require.Equal(t, []breaker.Trouble{{Dataset: "1", Reason: breaker.Throttled, Began: began}}, b.Troubles())
		sleepUntil(began.Add(time.Minute))
		until, news := b.RecordFailure(failure("1"))
		require.True(t, news)
		require.LessOrEqual(t, time.Until(until), time.Minute, "it is the first")

		b.Pause("2", "token", true, time.Hour)
		require.Equal(t, time.Now().Add(time.Hour), denied(t, b, "3"))
		acquired(t, b, "9")
		time.Sleep(time.Second)
		begun := time.Now()
		b.Pause("9", "another", false, time.Hour)
		require.Equal(t, []string{"9"}, b.RecordSuccess("9", "another", begun))
		time.Sleep(time.Second)
		b.Pause("9", "another", false, time.Hour)
		require.Empty(t, b.RecordSuccess("9", "another", begun), "the answer to a later request asked for it")
	})
}
