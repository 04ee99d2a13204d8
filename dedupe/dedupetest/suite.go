// Package dedupetest tests backends of package dedupe: a suite that every
// backend has to pass, and real redis-server processes to run it on.
package dedupetest

import (
	"strconv"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/capi-dispatcher/capi-dispatcher/dedupe"
)

// Run holds a backend against the contract of package dedupe. age must make
// everything that the backend keeps older by d: by waiting, or by a trick.
func Run(t *testing.T, client redis.UniversalClient, age func(d time.Duration)) {
	t.Helper()
	s := suite{
		cfg:   dedupe.Config{Window: 8 * 24 * time.Hour, Takeover: 8 * time.Hour},
		lease: 2 * time.Hour,
		redis: client,
		age:   age,
	}
	t.Run("claim", s.claim)
	t.Run("results are in order", s.order)
	t.Run("confirm", s.confirm)
	t.Run("release", s.release)
	t.Run("takeover", s.takeover)
	t.Run("another delivery of the same message", s.redelivery)
	t.Run("an own claim is as good as new", s.renewal)
	t.Run("a claim passed on", s.passedOn)
	t.Run("windows", s.windows)
	t.Run("a shorter window", s.shorterWindow)
	t.Run("many keys", s.many)
	t.Run("check", s.check)
}

type suite struct {
	cfg   dedupe.Config
	lease time.Duration
	redis redis.UniversalClient
	age   func(time.Duration)
}

func (s suite) store() *dedupe.Store { return dedupe.New(s.cfg, s.lease, s.redis) }

// one makes a claim on an identity that only this test uses.
func one(t *testing.T, name string, sequence uint64) dedupe.Claim {
	t.Helper()
	return dedupe.Claim{Key: dedupe.NewKey(t.Name(), name), Owner: dedupe.NewOwner(7, sequence), Holder: 1}
}

// again is the claim of another delivery of the same message.
func again(c dedupe.Claim) dedupe.Claim {
	c.Holder++
	return c
}

func (s suite) state(t *testing.T, claim dedupe.Claim) dedupe.State {
	t.Helper()
	result := s.store().Claim(t.Context(), []dedupe.Claim{claim})[0]
	require.NoError(t, result.Err)
	return result.State
}

func (s suite) claim(t *testing.T) {
	mine, other := one(t, "k", 1), one(t, "k", 2)
	require.Equal(t, dedupe.Fresh, s.state(t, mine))
	require.Equal(t, dedupe.Fresh, s.state(t, mine), "it is still this delivery's: never Sent, that would lose the event")
	require.Equal(t, dedupe.Held, s.state(t, other), "another message has to wait")
	require.Equal(t, dedupe.Fresh, s.state(t, one(t, "another", 2)))
}

func (s suite) order(t *testing.T) {
	sentBefore, held, mine := one(t, "sent", 1), one(t, "held", 1), one(t, "mine", 9)
	for _, c := range []dedupe.Claim{sentBefore, held, mine} {
		require.Equal(t, dedupe.Fresh, s.state(t, c))
	}
	_, err := s.store().Confirm(t.Context(), []dedupe.Claim{sentBefore})
	require.NoError(t, err)
	got := s.store().Claim(t.Context(), []dedupe.Claim{
		one(t, "fresh", 9), one(t, "held", 9), one(t, "sent", 9), one(t, "mine", 9), one(t, "fresh too", 9),
	})
	want := []dedupe.State{dedupe.Fresh, dedupe.Held, dedupe.Sent, dedupe.Fresh, dedupe.Fresh}
	for i, result := range got {
		require.NoError(t, result.Err)
		require.Equal(t, want[i], result.State, "claim %d", i)
	}
}

func (s suite) confirm(t *testing.T) {
	mine, other := one(t, "k", 1), one(t, "k", 2)
	require.Equal(t, dedupe.Fresh, s.state(t, mine))
	left, err := s.store().Confirm(t.Context(), []dedupe.Claim{mine})
	require.NoError(t, err)
	require.Empty(t, left)
	require.Equal(t, dedupe.Sent, s.state(t, other))
	require.Equal(t, dedupe.Sent, s.state(t, mine))

	_, err = s.store().Release(t.Context(), []dedupe.Claim{mine, other})
	require.NoError(t, err)
	require.Equal(t, dedupe.Sent, s.state(t, other), "what was sent can't be released")

	lost := one(t, "lost", 1)
	_, err = s.store().Confirm(t.Context(), []dedupe.Claim{lost})
	require.NoError(t, err)
	require.Equal(t, dedupe.Sent, s.state(t, lost), "confirming needs no claim: a failover may have lost it")
}

func (s suite) release(t *testing.T) {
	mine, other := one(t, "k", 1), one(t, "k", 2)
	require.Equal(t, dedupe.Fresh, s.state(t, mine))
	left, err := s.store().Release(t.Context(), []dedupe.Claim{other})
	require.NoError(t, err)
	require.Empty(t, left)
	require.Equal(t, dedupe.Held, s.state(t, other), "only the owner's claim is released")
	_, err = s.store().Release(t.Context(), []dedupe.Claim{mine})
	require.NoError(t, err)
	require.Equal(t, dedupe.Fresh, s.state(t, other))
}

func (s suite) takeover(t *testing.T) {
	mine, other := one(t, "k", 1), one(t, "k", 2)
	require.Equal(t, dedupe.Fresh, s.state(t, mine))
	s.age(s.cfg.Takeover / 2)
	require.Equal(t, dedupe.Held, s.state(t, other))
	s.age(s.cfg.Takeover)
	require.Equal(t, dedupe.Inherited, s.state(t, other))
	require.Equal(t, dedupe.InheritedBefore, s.state(t, other), "it stays known if the answer gets lost")
	require.Equal(t, dedupe.Held, s.state(t, mine), "the old owner has lost it")
	_, err := s.store().Release(t.Context(), []dedupe.Claim{mine})
	require.NoError(t, err)
	require.Equal(t, dedupe.Held, s.state(t, mine), "and cannot release it")
	_, err = s.store().Release(t.Context(), []dedupe.Claim{other})
	require.NoError(t, err)
	require.Equal(t, dedupe.Held, s.state(t, mine),
		"the new one cannot either, as long as it does not know that it has inherited")
	other.Doubtful = true
	_, err = s.store().Release(t.Context(), []dedupe.Claim{other})
	require.NoError(t, err)
	require.Equal(t, dedupe.Fresh, s.state(t, mine))
}

// A broker delivers a message again while the first delivery is being sent, or
// after its worker has died.
func (s suite) redelivery(t *testing.T) {
	first := one(t, "k", 1)
	second := again(first)
	require.Equal(t, dedupe.Fresh, s.state(t, first))
	require.Equal(t, dedupe.Held, s.state(t, second), "the first may be sending it at this moment")
	s.age(s.lease / 2)
	require.Equal(t, dedupe.Fresh, s.state(t, first))
	s.age(s.lease * 3 / 4)
	require.Equal(t, dedupe.Held, s.state(t, second), "the first has claimed it anew")
	s.age(s.lease)
	require.Equal(t, dedupe.Inherited, s.state(t, second), "the first's request must have ended")
	require.Equal(t, dedupe.Held, s.state(t, first))
	_, err := s.store().Release(t.Context(), []dedupe.Claim{first})
	require.NoError(t, err)
	require.Equal(t, dedupe.Held, s.state(t, first), "it cannot release what is the second's now")
}

func (s suite) renewal(t *testing.T) {
	mine, other := one(t, "k", 1), one(t, "k", 2)
	require.Equal(t, dedupe.Fresh, s.state(t, mine))
	s.age(s.cfg.Takeover * 3 / 4)
	require.Equal(t, dedupe.Fresh, s.state(t, mine))
	s.age(s.cfg.Takeover * 3 / 4)
	require.Equal(t, dedupe.Held, s.state(t, other), "what its owner has just claimed again is not taken over")
}

func (s suite) passedOn(t *testing.T) {
	letter, heir, other := one(t, "k", 1), one(t, "k", 2), one(t, "k", 3)
	heir.Replaces, other.Replaces = letter.Owner, letter.Owner
	require.Equal(t, dedupe.Fresh, s.state(t, letter))
	require.Equal(t, dedupe.Fresh, s.state(t, heir))
	require.Equal(t, dedupe.Held, s.state(t, letter), "it has passed its claim on")
	require.Equal(t, dedupe.Held, s.state(t, other), "once")
	require.Equal(t, dedupe.Fresh, s.state(t, heir))
}

func (s suite) windows(t *testing.T) {
	ttl := func(c dedupe.Claim) time.Duration {
		left, err := s.redis.PTTL(t.Context(), string(c.Key[:])).Result()
		require.NoError(t, err)
		return left
	}
	const slack = time.Minute
	short, long := one(t, "short", 1), one(t, "long", 1)
	long.Remember = 55 * 24 * time.Hour
	require.Equal(t, dedupe.Fresh, s.state(t, short))
	require.InDelta(t, s.cfg.Window, ttl(short), float64(slack))
	_, err := s.store().Confirm(t.Context(), []dedupe.Claim{short, long})
	require.NoError(t, err)
	require.InDelta(t, s.cfg.Window, ttl(short), float64(slack))
	require.InDelta(t, s.cfg.Window+long.Remember, ttl(long), float64(slack))
}

// A claim that was made under a longer window has its lease all the same, from
// the first time that another asks.
func (s suite) shorterWindow(t *testing.T) {
	first, longer := one(t, "k", 1), s
	longer.cfg.Window *= 4
	require.Equal(t, dedupe.Fresh, longer.state(t, first))
	require.Equal(t, dedupe.Held, s.state(t, again(first)))
	s.age(s.lease)
	require.Equal(t, dedupe.Inherited, s.state(t, again(first)))
}

func (s suite) many(t *testing.T) {
	const n = 1000
	claims := make([]dedupe.Claim, n)
	for i := range claims {
		claims[i] = one(t, strconv.Itoa(i), uint64(i+2))
	}
	for i, result := range s.store().Claim(t.Context(), claims) {
		require.NoError(t, result.Err)
		require.Equal(t, dedupe.Fresh, result.State, "claim %d", i)
	}
	left, err := s.store().Confirm(t.Context(), claims[:n/2])
	require.NoError(t, err)
	require.Empty(t, left)
	for i, result := range s.store().Claim(t.Context(), claims) {
		want := dedupe.Fresh
		if i < n/2 {
			want = dedupe.Sent
		}
		require.Equal(t, want, result.State, "claim %d", i)
	}
}

func (s suite) check(t *testing.T) {
	require.NoError(t, s.store().Check(t.Context()))
	require.NoError(t, s.store().Check(t.Context()))
}
