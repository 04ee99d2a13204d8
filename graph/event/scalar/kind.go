// Package scalar knows what a value has to be that is neither an object nor a
// list: whether it is, how it is repaired, and what a person is told.
package scalar

import (
	"github.com/go-json-experiment/json/jsontext"
)

// Kind is what a value has to be.
type Kind struct {
	Should string // "a number"
	// judge returns no code if the value is fine.
	judge func(value jsontext.Value) Wrong
	// repair returns the value in the form that Meta takes, where that loses
	// nothing and is no guess, else "". Most kinds have none.
	repair func(value jsontext.Value) string
	// mend tells a person what to write instead of a text, or "". It may
	// guess: nothing is changed by it.
	mend func(text string) string
}

// Wrong is what is wrong with a value, in a word that never changes.
type Wrong string

// What can be wrong with a value.
const (
	WrongType    Wrong = "wrong_type"
	Empty        Wrong = "empty"
	BadFormat    Wrong = "bad_format"
	UnknownValue Wrong = "unknown_value" // it is not in a closed list
)

// of makes a kind from a test of a value's type.
func of(should string, fits func(jsontext.Value) bool) Kind {
	return Kind{Should: should, judge: func(value jsontext.Value) Wrong {
		if fits(value) {
			return ""
		}
		return WrongType
	}}
}

// repairedBy is the same kind, with values repaired that are not quite it.
func (k Kind) repairedBy(repair func(jsontext.Value) string) Kind {
	k.repair = repair
	return k
}

// mendedBy is the same kind, with advice on what is not it.
func (k Kind) mendedBy(mend func(text string) string) Kind {
	k.mend = mend
	return k
}

// Judge returns what is wrong with a value; "" if nothing is.
func (k *Kind) Judge(value jsontext.Value) Wrong { return k.judge(value) }

// Repaired returns a value in the form that Meta takes, or "" if that would be a
// guess.
func (k *Kind) Repaired(value jsontext.Value) string {
	if k.repair == nil {
		return ""
	}
	instead := k.repair(value)
	if instead == "" || k.judge(jsontext.Value(instead)) != "" {
		return ""
	}
	return instead
}
