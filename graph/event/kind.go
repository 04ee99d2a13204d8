package event

import (
	"slices"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/capi-dispatcher/capi-dispatcher/graph/event/rawjson"
)

// kind is what a value that is neither an object nor an array has to be.
type kind struct {
	should string // "a number"
	// judge returns no code if the value is fine.
	judge func(value jsontext.Value) Code
	// repair returns the value in the form that Meta takes, where that loses
	// nothing and is no guess, else "". Most kinds have none.
	repair func(value jsontext.Value) string
	// mend tells a person what to write instead of a text, or "". It may
	// guess: nothing is changed by it.
	mend func(text string) string
}

// of makes a kind from a test of a value's type.
func of(should string, fits func(jsontext.Value) bool) kind {
	return kind{should: should, judge: func(value jsontext.Value) Code {
		if fits(value) {
			return ""
		}
		return WrongType
	}}
}

// repairedBy is the same kind, with values repaired that are not quite it.
func (k kind) repairedBy(repair func(jsontext.Value) string) kind {
	k.repair = repair
	return k
}

// mendedBy is the same kind, with advice on what is not it.
func (k kind) mendedBy(mend func(text string) string) kind {
	k.mend = mend
	return k
}

// repaired returns a value in the form that Meta takes, or "" if that would be a
// guess.
func (k kind) repaired(value jsontext.Value) string {
	if k.repair == nil {
		return ""
	}
	instead := k.repair(value)
	if instead == "" || k.judge(jsontext.Value(instead)) != "" {
		return ""
	}
	return instead
}

func isText(value jsontext.Value) bool { return value.Kind() == '"' }

// isID reports whether a value is a string, or a whole number, which is kept
// digit by digit.
func isID(value jsontext.Value) bool { return isText(value) || isDigits(value) }

func isBoolean(value jsontext.Value) bool { return value.Kind() == 't' || value.Kind() == 'f' }

func isFlag(value jsontext.Value) bool {
	return isBoolean(value) || string(value) == "0" || string(value) == "1"
}

func isWhole(value jsontext.Value) bool { return isDigits(trimSign(value)) }

func isWholeText(value jsontext.Value) bool { return isWhole(rawjson.Inner(value)) }

func isNumber(value jsontext.Value) bool {
	if !isText(value) {
		return value.Kind() == '0'
	}
	text := jsontext.Value(rawjson.Inner(value))
	return text.IsValid() && text.Kind() == '0' && text[len(text)-1] > ' ' && text[0] > ' '
}

// isAmount is a number, or an empty string, which is as good as none.
func isAmount(value jsontext.Value) bool { return string(value) == `""` || isNumber(value) }

// isDigits reports whether a text is nothing but digits.
func isDigits(text []byte) bool {
	for _, c := range text {
		if c < '0' || c > '9' {
			return false
		}
	}
	return len(text) > 0
}

func trimSign(number []byte) []byte {
	if len(number) > 0 && number[0] == '-' {
		return number[1:]
	}
	return number
}

// oneOf is a text out of a closed list.
func oneOf[S ~string](known ...S) kind {
	judge := func(value jsontext.Value) Code {
		switch {
		case !isText(value):
			return WrongType
		case !slices.Contains(known, S(rawjson.Unquote(value))):
			return UnknownValue
		default:
			return ""
		}
	}
	return kind{should: joinQuoted(known), judge: judge}.mendedBy(func(text string) string { return nearest(text, known) })
}

// oneNumberOf is a whole number out of a closed list.
func oneNumberOf(known ...string) kind {
	judge := func(value jsontext.Value) Code {
		switch {
		case !isWhole(value):
			return WrongType
		case !slices.Contains(known, string(value)):
			return UnknownValue
		default:
			return ""
		}
	}
	return kind{should: "the number " + strings.Join(known, " or "), judge: judge}.repairedBy(asWhole)
}

// leadID is the id of a lead ad's form. Source: Meta, customer information
// parameters (2026).
func leadID() kind {
	return kind{should: "an id of 15 to 17 digits", judge: func(value jsontext.Value) Code {
		digits := rawjson.Inner(value)
		switch {
		case !isID(value):
			return WrongType
		case !isDigits(digits) || len(digits) < 15 || len(digits) > 17:
			return BadFormat
		default:
			return ""
		}
	}}
}

// currency is a code of ISO 4217, in either case. An empty one counts as none,
// and one that was withdrawn is a matter for a warning.
func currency() kind {
	return kind{should: "a currency code of ISO 4217", judge: func(value jsontext.Value) Code {
		code := rawjson.Inner(value)
		switch {
		case !isText(value):
			return WrongType
		case len(code) == 0 || isCurrency(code) || isWithdrawn(code):
			return ""
		default:
			return UnknownValue
		}
	}}.mendedBy(currencyCode)
}
