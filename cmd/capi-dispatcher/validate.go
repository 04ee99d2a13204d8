package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/capi-dispatcher/capi-dispatcher/cmd/internal/terminal"
	"github.com/capi-dispatcher/capi-dispatcher/graph/event"
)

func (p *program) validate() *cobra.Command {
	var to string
	var asJSON bool
	command := &cobra.Command{
		Use:   "validate FILE|-",
		Short: "Say what would be dead-lettered, without sending anything",
		Long: `Say what the dispatcher would dead-letter, and why, a line each: everything that it
checks before it asks any server, with this configuration and now. Nothing is sent.
The input is NDJSON (an event or a request body a line), a JSON array of them, or
one request body. With --dataset, as with publish, it is checked, too, whether
each event's way to a dataset is known.

If there are faults, the exit code is 3.`,
		Example: `  capi-dispatcher validate events.ndjson
  capi-dispatcher validate --dataset auto --config config.yaml events.ndjson
  capi-dispatcher validate --json - < body.json | jq -r .code | sort | uniq -c`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			cfg, err := p.load()
			if err != nil {
				return err
			}
			in, _, err := openInput(args[0])
			if err != nil {
				return err
			}
			defer func() { _ = in.Close() }()
			v := validation{checker: newChecker(cfg, to), report: reporter(cmd.OutOrStdout(), asJSON)}
			if err := v.run(in); err != nil {
				return err
			}
			cmd.PrintErrln(v.summary())
			if v.faults > 0 {
				return errPartial
			}
			return nil
		},
	}
	addDestination(command, &to, "", "dataset id or auto: where the events are to be published to")
	command.Flags().BoolVar(&asJSON, "json", false, "print each fault as a line of JSON")
	return command
}

// validation goes through an input and counts.
type validation struct {
	checker *checker
	report  func(foundFault) error
	strict  bool // what would have to wait is reported, too

	events, faulty, faults, removed int
	waiting, secrets, dropped       int
}

// foundFault is a fault and the event it was found in.
type foundFault struct {
	Place string `json:"place"`           // "line 17"
	Event int    `json:"event,omitempty"` // in a request body, from 1 on
	Name  string `json:"event_name,omitempty"`
	event.Fault
}

func (v *validation) run(in io.Reader) error {
	for r := range readRecords(in, v.checker.decoder) {
		if err := v.record(r); err != nil {
			return err
		}
	}
	return nil
}

func (v *validation) record(r record) error {
	if r.err != nil {
		v.events++
		return v.reportAll(foundFault{Place: r.place}, unreadable(r.err))
	}
	v.secrets += r.request.Secrets
	v.dropped += r.request.Dropped
	for i := range r.request.Events {
		e := &r.request.Events[i]
		at := foundFault{Place: r.place, Name: e.Name}
		if len(r.request.Events) > 1 {
			at.Event = i + 1
		}
		v.events++
		v.removed += len(e.Removed)
		if err := v.reportAll(at, v.check(&r, e)); err != nil {
			return err
		}
	}
	return nil
}

// check is everything for which a worker would dead-letter an event now.
func (v *validation) check(r *record, e *event.Event) []event.Fault {
	decision := v.checker.decide(r, e)
	if decision.Wait > 0 {
		v.waiting++
	}
	if decision.Reason == "" && !v.strict {
		return nil
	}
	return decision.Faults
}

// unreadable is what is wrong with a record that holds no events.
func unreadable(err error) []event.Fault {
	if unusable, ok := errors.AsType[*event.FaultError](err); ok {
		return unusable.Faults
	}
	return []event.Fault{{Code: "malformed", Message: err.Error()}}
}

func (v *validation) reportAll(at foundFault, faults []event.Fault) error {
	if len(faults) > 0 {
		v.faulty++
	}
	v.faults += len(faults)
	for _, at.Fault = range faults {
		if err := v.report(at); err != nil {
			return err
		}
	}
	return nil
}

// reporter prints faults, for people or for programs.
func reporter(out io.Writer, asJSON bool) func(foundFault) error {
	if asJSON {
		return func(f foundFault) error { return json.NewEncoder(out).Encode(f) }
	}
	return func(f foundFault) error { return printFault(out, f) }
}

func printFault(out io.Writer, f foundFault) error {
	place := f.Place
	if f.Event > 0 {
		place += fmt.Sprintf(", event %d", f.Event)
	}
	if f.Pointer != "" {
		place += ": " + f.Pointer
	}
	_, err := fmt.Fprintf(out, "%s: %s (%s)\n", terminal.Line(place), terminal.Line(f.Message), terminal.Line(codeOf(f.Fault)))
	return err
}

func (v *validation) summary() string {
	text := fmt.Sprintf("%s, %s in %d of them", count(v.events, "event"), count(v.faults, "fault"), v.faulty)
	if v.waiting > 0 {
		text += fmt.Sprintf("; %s would wait for their time, up to ten minutes ahead", count(v.waiting, "event"))
	}
	if v.removed > 0 {
		text += fmt.Sprintf("; %s would be removed (graph.messaging_extras)", count(v.removed, "member"))
	}
	if v.secrets > 0 {
		text += fmt.Sprintf("; %s would be taken out: a message is no place for tokens", count(v.secrets, "secret"))
	}
	if v.dropped > 0 {
		text += fmt.Sprintf("; %s beside the events would be left out, for Meta documents no such", count(v.dropped, "member"))
	}
	return text
}
