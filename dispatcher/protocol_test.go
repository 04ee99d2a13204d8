package dispatcher_test

import (
	"fmt"
	"hash/maphash"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/capi-dispatcher/capi-dispatcher/dedupe"
	"github.com/capi-dispatcher/capi-dispatcher/dedupe/dedupetest"
)

// anyFaults allows each kind of fault once, and most together.
func anyFaults(most uint8) protocol {
	p := protocol{most: most, maxUnknown: 3}
	for kind := range p.kinds {
		p.kinds[kind] = 1
	}
	return p
}

// only allows some kinds of faults, each so often.
func only(times uint8, kinds ...fault) protocol {
	p := protocol{most: 255, maxUnknown: 3}
	for _, kind := range kinds {
		p.kinds[kind] = times
	}
	return p
}

func (p protocol) with(change func(p *protocol)) protocol {
	change(&p)
	return p
}

func deadLetters(p *protocol) { p.deadLetter = true }

func byTwo(p *protocol) { p.byTwo = true }

// Whatever goes wrong, and in whatever order things happen: nothing is lost,
// nothing is accepted twice but where an answer was hidden or Redis forgot,
// and nothing gets stuck.
func TestTheProtocolHolds(t *testing.T) {
	t.Parallel()
	holds(t, map[string]protocol{
		"nothing goes wrong":                         only(0),
		"any one fault":                              anyFaults(1),
		"any one fault, dead_letter":                 anyFaults(1).with(deadLetters),
		"crashes":                                    only(2, crash),
		"crash, lapse":                               only(1, crash, lapse).with(deadLetters),
		"crash, lost replies":                        only(1, crash, lostReply).with(deadLetters),
		"crash, failover":                            only(1, crash, failover),
		"refused, replayed, lost ack":                only(1, refuse, replay, lostAck),
		"refused, replayed by two":                   only(1, refuse, replay).with(byTwo),
		"maybe sent, replayed by two, dead_letter":   only(1, ambiguous, replay).with(deadLetters).with(byTwo),
		"delivered early, twice":                     only(2, early),
		"delivered early, parked":                    only(1, early, park),
		"delivered early, replies lost, dead_letter": only(1, early, lostReply).with(deadLetters),
		"recreated, crash":                           only(1, recreate, crash),
		"parked while NATS' store is full":           only(1, park, storeFull, ambiguous),
	})
}

// The same with more going wrong at once, for some minutes.
func TestTheProtocolHoldsDeeply(t *testing.T) {
	if os.Getenv("MODEL_DEEPLY") == "" {
		t.Skip("only where MODEL_DEEPLY is set, as `make model` does")
	}
	holds(t, map[string]protocol{
		"two crashes, two lapses":                        only(2, crash, lapse),
		"crash, ambiguous, failover, lapse":              only(1, crash, ambiguous, failover, lapse),
		"crash, ambiguous, failover, lapse, dead_letter": only(1, crash, ambiguous, failover, lapse).with(deadLetters),
		"purged, with crash, hang and Redis away":        only(1, vanish, crash, hang, redisDown),
		"parked, crash, acknowledgement lost":            only(1, park, crash, lostAck),
		"dead letters replayed, dead_letter":             only(1, ambiguous, replay, lostAck, crash).with(deadLetters),
		"replayed by two, crash, dead_letter":            only(1, ambiguous, replay, crash).with(deadLetters).with(byTwo),
		"delivered early, crash, lapse, reply lost":      only(1, early, crash, lapse, lostReply),
		"recreated, crash, lapse":                        only(1, recreate, crash, lapse),
		"parked while NATS' store is full, crash":        only(1, park, storeFull, crash, lapse),
		"delivered early twice, parked, hang":            only(1, park, hang).with(func(p *protocol) { p.kinds[early] = 2 }),
	})
}

// Any two faults: at once that would be more states than fit into memory, so
// each two kinds are tried by themselves.
func TestTheProtocolHoldsWithAnyTwoFaults(t *testing.T) {
	if os.Getenv("MODEL_DEEPLY") == "" {
		t.Skip("only where MODEL_DEEPLY is set, as `make model` does")
	}
	pairs := make(map[string]protocol)
	for one := range faultKinds {
		pairs[fmt.Sprintf("%s twice", one)] = only(2, one)
		for other := range one {
			pairs[fmt.Sprintf("%s and %s", other, one)] = only(1, one, other)
			pairs[fmt.Sprintf("%s and %s, dead_letter", other, one)] = only(1, one, other).with(deadLetters)
		}
	}
	holds(t, pairs)
}

func holds(t *testing.T, protocols map[string]protocol) {
	t.Helper()
	for name, p := range protocols {
		t.Run(name, func(t *testing.T) {
			found := p.search()
			require.Less(t, found.states, mostStates, "too much for one search")
			require.Empty(t, found.problem, found.trace())
			t.Logf("%d states, %d steps: nothing lost, nothing unexplained, nothing stuck", found.states, found.steps)
		})
	}
}

// The search must find what is wrong with protocols that are.
func TestBrokenProtocolsAreCaught(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		protocol
		problem string
	}{
		"a key that says seen, set before sending":      {only(1, crash).with(func(p *protocol) { p.presence = true }), "lost"},
		"a mark set after sending, and no claim":        {only(0).with(func(p *protocol) { p.markAfter = true }), "accepted twice"},
		"claims that are the worker's, and expire":      {only(0).with(func(p *protocol) { p.workerLeases = true }), "accepted twice"},
		"no deadline for requests":                      {only(1, lapse).with(func(p *protocol) { p.noDeadline = true }), "accepted twice"},
		"copies dropped while another has the claim":    {only(1, vanish, crash).with(func(p *protocol) { p.dropHeld = true }), "lost"},
		"claims released that others have inherited":    {only(1, lapse).with(func(p *protocol) { p.blindRelease = true }), "accepted twice"},
		"requests on claims that are not renewed":       {only(0).with(func(p *protocol) { p.noRenewal = true }), "accepted twice"},
		"claims that any delivery of the message has":   {only(1, early).with(func(p *protocol) { p.noHolders = true }), "accepted twice"},
		"acknowledged before the dead letter is stored": {only(1, refuse, crash, vanish).with(func(p *protocol) { p.ackFirst = true }), "lost"},
		"a take-over whose reply got lost is taken for a fresh claim": {
			only(1, crash, lostReply).with(deadLetters).with(func(p *protocol) { p.unmarked = true }), "accepted twice",
		},
		"claims that anybody may say to replace": {only(0).with(func(p *protocol) { p.forgeable = true }), "accepted twice"},
		"nobody looks for what is overdue":       {only(1, park, storeFull).with(func(p *protocol) { p.noSweep = true }), "stuck"},
		"acks go by name and sequence alone":     {only(1, recreate).with(func(p *protocol) { p.byName = true }), "lost"},
		"claims of doubtful dead letters given up": {
			only(1, ambiguous).with(deadLetters).with(func(p *protocol) { p.freeDoubtful = true }), "accepted twice",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			found := tc.search()
			require.Equal(t, tc.problem, found.problem, "the search must find it")
			t.Log(found.trace())
		})
	}
}

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

// search is what came of trying everything. States are told apart by 64-bit
// hashes, and only those not yet looked at are kept: of millions, the odds that
// two are mixed up are below one in a million.
type search struct {
	states  int
	parents []int32 // how a state was first reached, and by what
	deeds   []deed
	ends    []bool // whether there is a way to the end
	edges   []edge // steps that are no faults
	steps   int
	problem string
	at      int // the state where it shows
}

// mostStates is what fits into a few gigabytes.
const mostStates = 15_000_000

type edge struct{ from, to int32 }

// search tries everything from the beginning, the shortest ways first, until
// something is wrong.
func (p protocol) search() *search {
	begin, seed := world{}, maphash.MakeSeed()
	begin.messages[0].at, begin.messages[1].at = ready, ready
	if p.forgeable {
		begin.messages[1].replaces = 1
	}
	found := &search{}
	found.reach(&begin, -1, deed{})
	known := map[uint64]int32{maphash.Comparable(seed, begin): 0}
	for at, queue := int32(0), []world{begin}; len(queue) > 0 && found.states < mostStates; at, queue = at+1, queue[1:] {
		for _, m := range p.next(queue[0]) {
			found.steps++
			hash := maphash.Comparable(seed, m.to)
			to, ok := known[hash]
			if !ok {
				to = found.reach(&m.to, at, m.deed)
				known[hash] = to
				queue = append(queue, m.to)
				if found.problem = p.wrong(&m.to); found.problem != "" {
					found.at = int(to)
					return found
				}
			}
			if m.normal {
				found.edges = append(found.edges, edge{at, to})
			}
		}
	}
	found.stuck()
	return found
}

// reach notes a new state, and how it was come to.
func (s *search) reach(w *world, from int32, by deed) int32 {
	s.parents, s.deeds, s.ends = append(s.parents, from), append(s.deeds, by), append(s.ends, w.done())
	s.states++
	return int32(s.states - 1)
}

// wrong tells what must never be so.
func (p *protocol) wrong(w *world) string {
	allowed := 1 + w.hidden + w.excused
	if p.deadLetter {
		allowed = 1 + w.excused // what may have been sent is not sent again
	}
	letters := slices.ContainsFunc(w.messages[:], func(m message) bool { return m.letter != noLetter })
	switch {
	case w.accepted > allowed:
		return "accepted twice"
	case w.done() && w.accepted == 0 && !letters, w.stranger == forgotten:
		return "lost"
	default:
		return ""
	}
}

// done tells that nothing is left to do.
func (w *world) done() bool {
	for m := range slots {
		if at := w.messages[m].at; at == overdue || at == ready || at == out {
			return false
		}
		for by := range workers {
			if w.hands[by][m].at != idle {
				return false
			}
		}
	}
	return !w.later[0] && !w.later[1] && w.stranger != inFlight
}

// stuck looks for a state from which there is no way to the end unless
// something goes wrong.
func (s *search) stuck() {
	for changed := true; changed; {
		changed = false
		for _, e := range slices.Backward(s.edges) {
			if s.ends[e.to] && !s.ends[e.from] {
				s.ends[e.from], changed = true, true
			}
		}
	}
	if s.at = slices.Index(s.ends, false); s.at >= 0 {
		s.problem = "stuck"
	}
}

// trace tells how it came about.
func (s *search) trace() string {
	if s.problem == "" {
		return ""
	}
	var lines []string
	for at := int32(s.at); at > 0; at = s.parents[at] {
		lines = append(lines, s.deeds[at].String())
	}
	slices.Reverse(lines)
	return s.problem + ":\n  " + strings.Join(lines, "\n  ")
}
