package e2e_test

import (
	"fmt"
	"regexp"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/deadletter"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/streams"
	"github.com/capi-dispatcher/capi-dispatcher/graph/graphtest"
)

// excuse tells why Redis may not know of an acceptance; "" if it should.
func (c *chaos) excuse(a acceptance) string {
	if a.hidden {
		return "hidden"
	}
	for _, o := range c.outages {
		if a.at.After(o.begin.Add(-replicaLag)) && a.at.Before(o.end) {
			c.forgotten = max(c.forgotten, o.begin.Sub(a.at))
			return "failover"
		}
	}
	for _, e := range c.ends {
		if e.worker == a.worker && e.life == a.life && strings.HasPrefix(e.kind, "kill") && a.at.After(e.at.Add(-remembering)) {
			return "killed"
		}
	}
	return ""
}

// books are what became of all that was published.
type books struct {
	published, copies, accepted, dead, extra, failovers int

	lost, strange []string
	excuses       map[string]int // for acceptances too many
	reasons       map[string]int // of dead letters
}

// judge holds what was accepted and dead-lettered against what was published.
func (c *chaos) judge(good map[graphtest.Event]bool, poison map[string]bool, copies int) {
	c.t.Helper()
	b := books{published: len(good) + len(poison), copies: copies, excuses: make(map[string]int), reasons: make(map[string]int)}
	b.failovers = c.addFailovers()
	dead := make(map[string]bool)
	for _, letter := range c.lettersAtLast() {
		dead[string(regexp.MustCompile(`"event_id":"([^"]*)"`).FindSubmatch(letter.Event)[1])] = true
		b.reasons[string(letter.Reason)]++
	}
	counts := c.Ledger().Counts()
	for e := range good {
		require.Len(c.t, c.witness.seen[e], counts[e], "the witness has seen what the ledger has")
		b.enter(e.ID, counts[e] > 0, dead[e.ID])
		c.excuseAll(&b, e)
	}
	for id := range poison {
		b.enter(id, false, dead[id])
	}
	c.t.Log("\n" + c.table(&b))
	if len(b.strange) > 0 {
		c.printWarnings()
	}
	require.Empty(c.t, b.lost, "lost")
	require.Empty(c.t, b.strange, "accepted twice, and nothing explains it")
}

// enter writes down where an event has ended.
func (b *books) enter(id string, accepted, dead bool) {
	switch {
	case accepted:
		b.accepted++
	case dead:
		b.dead++
	default:
		b.lost = append(b.lost, id)
	}
}

// excuseAll looks for excuses where an event was accepted more than once. The
// last time needs none: those before it should have been remembered.
func (c *chaos) excuseAll(b *books, e graphtest.Event) {
	all := c.witness.seen[e]
	for _, a := range all[:max(0, len(all)-1)] {
		b.extra++
		excuse := c.excuse(a)
		b.excuses[excuse]++
		if excuse == "" {
			b.strange = append(b.strange, fmt.Sprintf("%s: %+v; %s", e.ID, all, c.nearest(a)))
		}
	}
}

// table renders the books, and what went wrong.
func (c *chaos) table(b *books) string {
	var text strings.Builder
	table := tabwriter.NewWriter(&text, 0, 0, 2, ' ', 0)
	line := func(n int, what string, args ...any) {
		fmt.Fprintf(table, "%d\t"+what+"\n", append([]any{n}, args...)...)
	}
	line(b.published, "events published, and %d copies of them", b.copies)
	line(b.accepted, "accepted")
	line(b.dead, "dead-lettered and not accepted; letters: %v", b.reasons)
	line(len(b.lost), "LOST")
	line(b.extra, "accepted too many, of these")
	line(b.excuses["hidden"], "  where the answer was hidden (%d were)", c.witness.hides)
	line(b.excuses["killed"], "  where the worker was killed before it could confirm")
	line(b.excuses["failover"], "  where Redis was away or failed over, as it did %d times (%s before it, at most)", b.failovers, c.forgotten.Round(time.Millisecond))
	line(b.excuses[""], "  UNEXPLAINED")
	for _, k := range kinds() {
		line(c.counts[k.kind], k.kind)
	}
	_ = table.Flush()
	return text.String()
}

// lettersAtLast reads the dead letters. A cluster that has just lost a node may
// need a moment to make the reader's consumer.
func (c *chaos) lettersAtLast() (letters []deadletter.Letter) {
	c.t.Helper()
	c.await("the dead letters can be read", func() bool {
		letters = nil
		box, err := deadletter.Open(c.t.Context(), c.js, streams.Default().Letters())
		if err != nil {
			return false
		}
		_, err = box.Each(c.t.Context(), deadletter.Filter{}, func(l deadletter.Letter) error {
			letters = append(letters, l)
			return nil
		})
		return err == nil
	})
	return letters
}

// nearest tells how an acceptance lies to the outages of Redis.
func (c *chaos) nearest(a acceptance) string {
	var all []string
	for _, o := range c.outages {
		all = append(all, fmt.Sprintf("%s after an outage of %s began", a.at.Sub(o.begin).Round(time.Millisecond), o.end.Sub(o.begin).Round(time.Millisecond)))
	}
	return strings.Join(all, ", ")
}

// printWarnings shows what all workers had to say.
func (c *chaos) printWarnings() {
	for line := range strings.Lines(c.logs()) {
		if !strings.Contains(line, `"level":"debug"`) && !strings.Contains(line, "events sent") {
			c.t.Log(line)
		}
	}
}
