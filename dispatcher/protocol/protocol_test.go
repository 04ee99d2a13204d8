package protocol_test

import (
	"fmt"
	"os"
	"testing"

	"github.com/stretchr/testify/require"
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
