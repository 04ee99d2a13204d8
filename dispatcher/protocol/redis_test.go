package protocol_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/capi-dispatcher/capi-dispatcher/dedupe"
	"github.com/capi-dispatcher/capi-dispatcher/dedupe/dedupetest"
)

// The model's Redis answers like the real one.
func TestTheModelsRedisIsTheRealOne(t *testing.T) {
	t.Parallel()
	r := realRedis{t: t, client: dedupetest.Start(t).Client()}
	r.store = dedupe.New(dedupe.Config{Window: window, Takeover: takeover}, lease, r.client)
	for _, before := range keys() {
		for does, run := range map[string]func(k *redisKey) (model, actual string){
			"claim":  func(k *redisKey) (string, string) { return k.ask(1, 1, nobody), r.claim(0) },
			"replay": func(k *redisKey) (string, string) { return k.ask(1, 1, 2), r.claim(2) },
			"confirm": func(k *redisKey) (string, string) {
				k.confirm()
				_, err := r.store.Confirm(t.Context(), []dedupe.Claim{realClaim(0)})
				return "", text(err)
			},
			"release": func(k *redisKey) (string, string) {
				k.release(1, 1, false)
				_, err := r.store.Release(t.Context(), []dedupe.Claim{realClaim(0)})
				return "", text(err)
			},
			"release what is doubtful": func(k *redisKey) (string, string) {
				k.release(1, 1, true)
				claim := realClaim(0)
				claim.Doubtful = true
				_, err := r.store.Release(t.Context(), []dedupe.Claim{claim})
				return "", text(err)
			},
		} {
			r.set(before)
			after := before
			model, actual := run(&after)
			what := fmt.Sprintf("%s on %+v", does, before)
			require.Equal(t, model, actual, what)
			require.Equal(t, after, r.get(), what)
		}
	}
}

// keys are all that a key may be, as two messages and two holders may leave it.
func keys() []redisKey {
	all := []redisKey{{}, {owner: sentMark}}
	for _, by := range []owner{1, 2} {
		for _, as := range []holder{1, 2} {
			for _, inherited := range []bool{false, true} {
				for _, age := range []age{young, released, vanished} {
					all = append(all, redisKey{by, as, inherited, age})
				}
			}
		}
	}
	return all
}

const window, lease, takeover = 8 * 24 * time.Hour, time.Hour, 3 * time.Hour

// realRedis keeps the model's key in a real server.
type realRedis struct {
	t      *testing.T
	client *redis.Client
	store  *dedupe.Store
}

// realClaim is that of the model's first message, in the first hand.
func realClaim(replaces owner) dedupe.Claim {
	claim := dedupe.Claim{Key: dedupe.NewKey("model"), Owner: realOwner(1), Holder: 1}
	if replaces != nobody {
		claim.Replaces = realOwner(replaces)
	}
	return claim
}

// realOwner puts the model's owners where the marker of a sent event is not.
func realOwner(o owner) dedupe.Owner { return dedupe.NewOwner(1, uint64(o)) }

func (r realRedis) claim(replaces owner) string {
	return r.store.Claim(r.t.Context(), []dedupe.Claim{realClaim(replaces)})[0].State.String()
}

// set and get know how a claim is written.
func (r realRedis) set(k redisKey) {
	key := realClaim(0).Key
	name, value := string(key[:]), fmt.Sprintf("%d %d", realOwner(k.owner), k.holder)
	require.NoError(r.t, r.client.Del(r.t.Context(), name).Err())
	switch {
	case k.owner == nobody:
		return
	case k.owner == sentMark:
		value = "1"
	case k.inherited:
		value += " ?"
	}
	old := []time.Duration{young: 0, released: lease, vanished: takeover}[k.age]
	require.NoError(r.t, r.client.Set(r.t.Context(), name, value, window-old).Err())
}

func (r realRedis) get() (k redisKey) {
	key := realClaim(0).Key
	value := r.client.Get(r.t.Context(), string(key[:])).Val()
	switch value {
	case "":
		return k
	case "1":
		return redisKey{owner: sentMark}
	}
	for _, o := range []owner{1, 2} {
		for _, h := range []holder{1, 2} {
			if rest, ok := strings.CutPrefix(value, fmt.Sprintf("%d %d", realOwner(o), h)); ok {
				k = redisKey{owner: o, holder: h, inherited: rest == " ?"}
			}
		}
	}
	switch old := window - r.client.PTTL(r.t.Context(), string(key[:])).Val(); {
	case old >= takeover:
		k.age = vanished
	case old >= lease:
		k.age = released
	}
	return k
}

func text(err error) string {
	if err != nil {
		return err.Error()
	}
	return ""
}
