package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/spf13/cobra"

	"github.com/capi-dispatcher/capi-dispatcher/cmd/internal/exit"
	"github.com/capi-dispatcher/capi-dispatcher/cmd/internal/explain"
	"github.com/capi-dispatcher/capi-dispatcher/cmd/internal/terminal"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/admission"
	"github.com/capi-dispatcher/capi-dispatcher/graph/event"
)

func (p *program) validate() *cobra.Command {
	var to string
	var all, asJSON, attributed bool
	command := &cobra.Command{
		Use:   "validate FILE|-",
		Short: "Say what would be dead-lettered, without sending anything",
		Long: `Say what the dispatcher would dead-letter, and why, a line each: everything that it
checks before it asks any server, with this configuration and now. Warnings are of
what Meta may make less of, notes of what the dispatcher changes. Nothing is sent.
The input is NDJSON (an event or a request body a line), a JSON array of them, or
one request body. With --dataset, as with publish, it is checked, too, whether
each event's way to a dataset is known. With --explain-attribution, events in chats
that do not say which click or person they are about are looked up in Redis, and it
is said what a worker would find now.

If there are faults, the exit code is 3. Warnings and notes are no faults.`,
		Example: `  capi-dispatcher validate events.ndjson
  capi-dispatcher validate --dataset auto --config config.yaml events.ndjson
  capi-dispatcher validate --json - < body.json | jq -r 'select(.level == "fault").code' | sort | uniq -c`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			cfg, err := p.load()
			if err != nil {
				return err
			}
			return withInput(cmd, args[0], func(in io.Reader, _ int64) error {
				report, end := reporter(cmd.OutOrStdout(), all, asJSON)
				v := validation{checker: newChecker(cfg, to), report: report}
				if attributed {
					lookUp, end, err := peopleOf(cmd.Context(), cfg)
					if err != nil {
						return err
					}
					defer end()
					v.lookUp = lookUp
				}
				if err := errors.Join(v.run(in), end(), cmd.Context().Err()); err != nil {
					return err
				}
				sayIfEmpty(cmd, v.events)
				cmd.PrintErrln(v.summary())
				return exit.PartialIf(v.faults > 0)
			})
		},
	}
	addDestination(command, &to, "", "dataset id or auto: where the events are to be published to")
	addAll(command, &all)
	command.Flags().BoolVar(&asJSON, "json", false, "print each fault, warning and note as a line of JSON, all of them")
	command.Flags().BoolVar(&attributed, "explain-attribution", false,
		"look up the click or person of events that do not name them; needs --dataset")
	return command
}

// validation goes through an input and counts.
type validation struct {
	checker *checker
	report  func(foundFault) error
	strict  bool // what would have to wait is reported, too
	// lookUp says what a worker would find of an event's person; nil if nobody asks.
	lookUp func(dataset string, e *event.Event) event.Fault

	events, faulty, faults, waiting int
	warnings, removed, repaired     int
	secrets, dropped                int
}

// level says how bad it is what was found.
type level string

const (
	fault   level = "fault"   // the event would not be sent
	warning level = "warning" // Meta may make less of it
	note    level = "note"    // it would be changed
)

// foundFault is what was found, and the event it was found in.
type foundFault struct {
	Level level  `json:"level"`
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
		return v.reportFaults(foundFault{Place: r.place}, unreadable(r.err))
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
		if err := v.event(at, &r, e); err != nil {
			return err
		}
	}
	return nil
}

// event reports all that there is to say of an event.
func (v *validation) event(at foundFault, r *record, e *event.Event) error {
	decision := v.checker.decide(r, e)
	warnings, notes := v.warn(e, decision), changes(e)
	if v.lookUp != nil && e.LacksPerson() {
		notes = append(notes, v.lookUp(v.checker.to, e))
	}
	v.warnings += len(warnings)
	v.removed += len(e.Removed)
	v.repaired += len(e.Repaired)
	return errors.Join(v.reportFaults(at, v.check(decision)),
		v.reportAll(at, warning, warnings), v.reportAll(at, note, notes))
}

// warn is what Meta may make less of, if the event is sent now, and what may be a
// mistake.
func (v *validation) warn(e *event.Event, decision admission.Decision) []event.Fault {
	warnings := slices.Concat(e.Warnings, decision.Warnings)
	if late := e.CheckPromptness(v.checker.now()); late != nil {
		warnings = append(warnings, *late)
	}
	return warnings
}

// changes are the notes of what is sent in another form than it came.
func changes(e *event.Event) (notes []event.Fault) {
	for _, pointer := range e.Repaired {
		notes = append(notes, event.Fault{
			Pointer: pointer, Code: "repaired",
			Message: "it will be sent in the form that Meta takes",
		})
	}
	if e.Filled != "" {
		notes = append(notes, event.Fault{
			Pointer: e.Filled, Code: "filled", Message: "the dataset's only account will be filled in",
		})
	}
	for _, pointer := range e.Removed {
		notes = append(notes, event.Fault{
			Pointer: pointer, Code: "removed",
			Message: "it will be left out: Meta would refuse it, or could not use it",
		})
	}
	return notes
}

// check is everything for which a worker would dead-letter an event now.
func (v *validation) check(decision admission.Decision) []event.Fault {
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

func (v *validation) reportFaults(at foundFault, faults []event.Fault) error {
	if len(faults) > 0 {
		v.faulty++
	}
	v.faults += len(faults)
	return v.reportAll(at, fault, faults)
}

func (v *validation) reportAll(at foundFault, as level, found []event.Fault) error {
	at.Level = as
	for _, at.Fault = range found {
		if err := v.report(at); err != nil {
			return err
		}
	}
	return nil
}

// reporter prints what was found: all of it for programs, the first of it for
// people. The end says how much more there was.
func reporter(out io.Writer, all, asJSON bool) (report func(foundFault) error, end func() error) {
	if asJSON {
		encoder := json.NewEncoder(out)
		return func(f foundFault) error { return encoder.Encode(f) }, func() error { return nil }
	}
	excerpt := terminal.NewExcerpt(all, func(line string) error {
		_, err := fmt.Fprintln(out, line)
		return err
	})
	return func(f foundFault) error { return excerpt.Print(f.where(), f.line()) }, excerpt.End
}

// where names the event.
func (f foundFault) where() string {
	if f.Event > 0 {
		return fmt.Sprintf("%s, event %d", f.Place, f.Event)
	}
	return f.Place
}

func (f foundFault) line() string {
	place := f.where()
	if f.Level != fault {
		place += ": " + string(f.Level)
	}
	if f.Pointer != "" {
		place += ": " + f.Pointer
	}
	return fmt.Sprintf("%s: %s (%s)", terminal.Line(place), terminal.Line(f.Message), terminal.Line(explain.FaultCode(f.Fault)))
}

func (v *validation) summary() string {
	text := fmt.Sprintf("%s, %s in %d of them",
		terminal.Count(v.events, "event"), terminal.Count(v.faults, "fault"), v.faulty)
	if v.waiting > 0 {
		text += fmt.Sprintf("; %s would wait for their time, up to ten minutes ahead", terminal.Count(v.waiting, "event"))
	}
	if v.warnings > 0 {
		text += "; " + terminal.Count(v.warnings, "warning")
	}
	if v.repaired > 0 {
		text += fmt.Sprintf("; %s would be repaired", terminal.Count(v.repaired, "member"))
	}
	if v.removed > 0 {
		text += fmt.Sprintf("; %s would be removed", terminal.Count(v.removed, "member"))
	}
	if v.secrets > 0 {
		text += fmt.Sprintf("; %s would be taken out: a message is no place for tokens", terminal.Count(v.secrets, "secret"))
	}
	if v.dropped > 0 {
		text += fmt.Sprintf("; %s beside the events would be left out, for Meta documents no such",
			terminal.Count(v.dropped, "member"))
	}
	return text
}
