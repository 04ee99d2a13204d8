package protocol_test

import (
	"hash/maphash"
	"slices"
	"strings"
)

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
