package event_test

import (
	"fmt"
	"strings"
)

// ruleCase is an event and its faults, as "pointer code" or "pointer code
// subcode"; none if the event is fine.
type ruleCase struct {
	event object
	want  []string
}

func fine(events ...object) (cases []ruleCase) {
	for _, e := range events {
		cases = append(cases, ruleCase{event: e})
	}
	return cases
}

func faulty(e object, want ...string) []ruleCase { return []ruleCase{{e, want}} }

func join(groups ...[]ruleCase) (all []ruleCase) {
	for _, group := range groups {
		all = append(all, group...)
	}
	return all
}

// wrongTypes gives a member values of every type but the right ones.
func wrongTypes(base object, path string, subcode int, values ...any) (cases []ruleCase) {
	want := "/" + strings.ReplaceAll(path, ".", "/") + " wrong_type"
	if subcode != 0 {
		want += fmt.Sprint(" ", subcode)
	}
	for _, value := range values {
		cases = append(cases, ruleCase{base.with(path, value), []string{want}})
	}
	return cases
}

// members checks several members of the same kind.
func members(base object, prefix string, subcode int, good, bad []any, names ...string) (cases []ruleCase) {
	for _, name := range names {
		for _, value := range good {
			cases = append(cases, ruleCase{event: base.with(prefix+name, value)})
		}
		cases = append(cases, wrongTypes(base, prefix+name, subcode, bad...)...)
	}
	return cases
}

func list(values ...any) []any { return append([]any{}, values...) }
