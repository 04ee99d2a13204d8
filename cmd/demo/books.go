package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/capi-dispatcher/capi-dispatcher/cmd/internal/terminal"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/deadletter"
)

// closeTheBooks holds what became of the events against what was to become of
// them, and against the ledger of the simulated Graph API.
func (s *show) closeTheBooks(ctx context.Context) error {
	reasons, sample, err := s.deadLetters(ctx)
	if err != nil {
		return err
	}
	scores, totals := s.scores.last, s.script.totals()
	var want expected
	var got score
	for dataset, e := range totals {
		want.Published += e.Published
		want.Accepted += e.Accepted
		want.Duplicates += e.Duplicates
		want.Dead += e.Dead
		got.Accepted += scores[dataset].Accepted
		got.Duplicates += scores[dataset].Duplicates
		got.Dead += scores[dataset].Dead
		got.Requests += scores[dataset].Requests
	}
	var audit audit
	fmt.Fprintf(s.screen.out, "\nThe books (expected in brackets)\n\n")
	fmt.Fprintf(s.screen.out, "  %8d  events published, in %s\n", want.Published, s.flags.length)
	audit.line(s, got.Accepted, want.Accepted, "accepted by Meta")
	audit.line(s, got.Duplicates, want.Duplicates, "recognised as duplicates, and not sent")
	audit.line(s, got.Dead, want.Dead, "dead-lettered: "+reasons)
	audit.line(s, got.Accepted+got.Duplicates+got.Dead, want.Published, "in all")
	if s.api != nil {
		distinct, again := s.api.Ledger().Distinct()
		sum := s.api.Ledger().Sum()
		fmt.Fprintf(s.screen.out, "\nThe simulated Graph API's own ledger: %d requests, %d refused, %.1f events a batch\n\n",
			sum.Requests, sum.Refused, float64(sum.Events)/float64(max(sum.Batches, 1)))
		audit.line(s, distinct, want.Accepted, "different events accepted")
		audit.line(s, again, 0, "accepted twice")
	}
	if sample != "" {
		fmt.Fprintf(s.screen.out, "\nA dead letter: %s\n", sample)
	}
	return audit.verdict(s)
}

// audit collects what does not add up.
type audit struct{ off int }

func (a *audit) line(s *show, got, want int, what string) {
	mark := "✓"
	if got != want {
		mark = "✗"
		a.off++
	}
	fmt.Fprintf(s.screen.out, "  %8d  [%d] %s %s\n", got, want, mark, what)
}

func (a *audit) verdict(s *show) error {
	if s.api == nil {
		return nil // nobody could know what Meta would take
	}
	if a.off > 0 {
		return errors.New("the books do not balance; see " + s.logTo)
	}
	fmt.Fprintf(s.screen.out, "\nThe books balance: nothing lost, nothing counted twice.\n")
	return nil
}

// deadLetters counts the dead letters by reason, and picks one to show.
func (s *show) deadLetters(ctx context.Context) (reasons, sample string, err error) {
	box, err := deadletter.Open(ctx, s.js, s.config.NATS.Letters())
	if err != nil {
		return "", "", err
	}
	counts := make(map[deadletter.Reason]int)
	_, err = box.Each(ctx, deadletter.Filter{}, func(l deadletter.Letter) error {
		counts[l.Reason]++
		if l.Graph != nil {
			sample = fmt.Sprintf("number %d, %s: %s", l.Sequence, l.Reason, terminal.Line(l.Graph.Message))
		}
		return nil
	})
	var list []string
	for _, reason := range slices.Sorted(maps.Keys(counts)) {
		list = append(list, fmt.Sprintf("%d %s", counts[reason], reason))
	}
	return strings.Join(list, ", "), sample, err
}
