package main

import (
	"cmp"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/capi-dispatcher/capi-dispatcher/cmd/internal/exit"
	"github.com/capi-dispatcher/capi-dispatcher/config"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/admission"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/attribution"
	"github.com/capi-dispatcher/capi-dispatcher/graph"
	"github.com/capi-dispatcher/capi-dispatcher/graph/event"
)

// checker reads events as a worker does, and decides about them by the same
// checks.
type checker struct {
	decoder   *event.Decoder
	admission *admission.Admission
	to        string // the subject's last word; "" if nobody has named one
	testCode  string // for events that have none
	looksUp   bool   // workers look up whose an event is that does not say so
	now       func() time.Time
}

func newChecker(cfg *config.Config, to string) *checker {
	whole := cfg.Dispatcher()
	c := &checker{
		decoder:   event.NewDecoder(cfg.Graph.Rules).Withhold(graph.NewTokens(cfg.Graph.TokenDir).Used()),
		admission: admission.New(&whole.Config, cfg.Batch.MaxBytes, cfg.Graph.ResolveDatasets),
		to:        to, now: time.Now, looksUp: cfg.Attribution.Enabled,
	}
	c.decoder.Fill(c.admission.AccountsFor(to))
	return c
}

// decide returns what a worker would do with an event of a record, now.
func (c *checker) decide(r *record, e *event.Event) admission.Decision {
	body := r.request.Envelope
	body.TestEventCode = cmp.Or(body.TestEventCode, c.testCode)
	if c.isLookedUp(e) {
		completed := *e // as if it were found
		completed.Faults = nil
		if account := e.Reference; account != nil && e.Assets.Of(e.Channel) == "" {
			completed.Assets = (&attribution.Match{Account: account.Account}).Assets(e.Channel)
		}
		e = &completed
	}
	return c.admission.Decide(c.to, body, e, c.now())
}

// isLookedUp reports whether workers look up whose the event is: it lacks nothing else,
// and says by what.
func (c *checker) isLookedUp(e *event.Event) bool {
	return c.looksUp && e.LacksPerson() && (e.Reference != nil || e.Channel == event.WhatsApp && len(e.Phones()) > 0)
}

// faults is everything for which a worker would dead-letter events of a record, a
// line each, which tells where the fault is.
func (c *checker) faults(r *record) (lines []string) {
	if r.err != nil {
		return []string{r.place + ": " + r.err.Error()}
	}
	for i := range r.request.Events {
		decision := c.decide(r, &r.request.Events[i])
		if decision.Reason == "" {
			continue
		}
		place := r.place
		if len(r.request.Events) > 1 {
			place += fmt.Sprintf(", event %d", i+1)
		}
		for _, fault := range decision.Faults {
			lines = append(lines, place+": "+sentence(fault))
		}
	}
	return lines
}

// sentence is a fault in words, with its place if it has one.
func sentence(fault event.Fault) string {
	if fault.Pointer == "" {
		return fault.Message
	}
	return fault.Pointer + ": " + fault.Message
}

// addDestination adds the flag that says where events go.
func addDestination(command *cobra.Command, to *string, preset, usage string) {
	command.Flags().StringVar(to, "dataset", preset, usage)
	command.PreRunE = func(*cobra.Command, []string) error {
		if *to == preset || admission.IsDestination(*to) {
			return nil
		}
		return exit.Usage(fmt.Errorf("--dataset: %q is neither a dataset id, of digits, nor auto; the dispatcher would dead-letter every event", *to))
	}
}

// addAll adds the flag that has everything printed.
func addAll(command *cobra.Command, all *bool) {
	command.Flags().BoolVar(all, "all", false, "print all that is found, however much it is")
}
