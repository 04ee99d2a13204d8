package dispatcher_test

import (
	"fmt"
	"hash/maphash"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

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

// Whatever goes wrong, and in whatever order things happen: nothing is lost,
// nothing is accepted twice but where an answer was hidden or Redis forgot,
// and nothing gets stuck.
func TestTheProtocolHolds(t *testing.T) {
	t.Parallel()
	holds(t, map[string]protocol{
		"nothing goes wrong":          only(0),
		"any one fault":               anyFaults(1),
		"any one fault, dead_letter":  anyFaults(1).with(deadLetters),
		"crashes":                     only(2, crash),
		"crash, lapse":                only(1, crash, lapse).with(deadLetters),
		"crash, lost replies":         only(1, crash, lostReply).with(deadLetters),
		"crash, failover":             only(1, crash, failover),
		"refused, replayed, lost ack": only(1, refuse, replay, lostAck),
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
		"claims released after the lease":               {only(1, lapse).with(func(p *protocol) { p.lateRelease = true }), "accepted twice"},
		"requests on claims that are not renewed":       {only(0).with(func(p *protocol) { p.noRenewal = true }), "accepted twice"},
		"acknowledged before the dead letter is stored": {only(1, refuse, crash, vanish).with(func(p *protocol) { p.ackFirst = true }), "lost"},
		"a take-over whose reply got lost is taken for a fresh claim": {
			only(1, crash, lostReply).with(deadLetters).with(func(p *protocol) { p.lostTakeover = true }), "accepted twice",
		},
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
	cfg := dedupe.Config{Window: 8 * 24 * time.Hour, Takeover: time.Hour}
	client := dedupetest.Start(t).Client()
	store := dedupe.New(cfg, client)
	claim := []dedupe.Claim{{Key: dedupe.NewKey("model"), Owner: 1}}
	name := string(claim[0].Key[:])
	// The model's owners are put where the marker of a sent event is not.
	real := func(o owner) dedupe.Owner { return dedupe.NewOwner(1, uint64(o)) }
	claim[0].Owner = real(1)
	for _, before := range []redisKey{{}, {owner: 1}, {owner: 1, aged: true}, {owner: 2}, {owner: 2, aged: true}, {owner: sentMark}} {
		for does, run := range map[string]func(k *redisKey) (model, actual string){
			"claim": func(k *redisKey) (string, string) {
				return k.ask(1, nobody), store.Claim(t.Context(), claim)[0].State.String()
			},
			"replay": func(k *redisKey) (string, string) {
				heir := claim[0]
				heir.Replaces = real(2)
				return k.ask(1, 2), store.Claim(t.Context(), []dedupe.Claim{heir})[0].State.String()
			},
			"confirm": func(k *redisKey) (string, string) {
				k.confirm()
				_, err := store.Confirm(t.Context(), claim)
				return "", text(err)
			},
			"release": func(k *redisKey) (string, string) {
				k.release(1)
				_, err := store.Release(t.Context(), claim)
				return "", text(err)
			},
		} {
			what := fmt.Sprintf("%s on %+v", does, before)
			require.NoError(t, client.Del(t.Context(), name).Err())
			ttl := cfg.Window
			if before.aged {
				ttl -= cfg.Takeover + time.Minute
			}
			switch before.owner {
			case nobody:
			case sentMark:
				require.NoError(t, client.Set(t.Context(), name, 1, ttl).Err())
			default:
				require.NoError(t, client.Set(t.Context(), name, int64(real(before.owner)), ttl).Err())
			}
			after := before
			model, actual := run(&after)
			require.Equal(t, model, actual, what)
			value, _ := client.Get(t.Context(), name).Int64()
			require.Equal(t, map[owner]int64{nobody: 0, 1: int64(real(1)), 2: int64(real(2)), sentMark: 1}[after.owner], value, what)
			aged := value > 1 && cfg.Window-client.PTTL(t.Context(), name).Val() >= cfg.Takeover
			require.Equal(t, after.aged, aged, what)
		}
	}
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
	case w.done() && w.accepted == 0 && !letters:
		return "lost"
	default:
		return ""
	}
}

// done tells that nothing is left to do.
func (w *world) done() bool {
	for m := range slots {
		if at := w.messages[m].at; at == ready || at == out {
			return false
		}
		for by := range workers {
			if w.hands[by][m].at != idle {
				return false
			}
		}
	}
	return !w.later[0] && !w.later[1]
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
