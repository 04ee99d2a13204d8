package event

import (
	"slices"
	"strings"

	iso4217 "github.com/bojanz/currency"
	"github.com/go-json-experiment/json/jsontext"
)

// kind judges a value that is neither an object nor an array: it returns no
// code if the value is fine, else what it should be.
type kind func(value jsontext.Value) (code Code, should string)

// of makes a kind from a test of a value's type.
func of(should string, fits func(jsontext.Value) bool) kind {
	return func(value jsontext.Value) (Code, string) {
		if fits(value) {
			return "", ""
		}
		return WrongType, should
	}
}

func isText(value jsontext.Value) bool { return value.Kind() == '"' }

// isID tells a string, or a whole number that is kept digit by digit.
func isID(value jsontext.Value) bool { return isText(value) || isDigits(value) }

func isBoolean(value jsontext.Value) bool { return value.Kind() == 't' || value.Kind() == 'f' }

func isFlag(value jsontext.Value) bool {
	return isBoolean(value) || string(value) == "0" || string(value) == "1"
}

func isWhole(value jsontext.Value) bool { return isDigits(trimSign(value)) }

func isWholeText(value jsontext.Value) bool { return isWhole(inner(value)) }

func isNumber(value jsontext.Value) bool {
	if !isText(value) {
		return value.Kind() == '0'
	}
	text := jsontext.Value(inner(value))
	return text.IsValid() && text.Kind() == '0' && text[len(text)-1] > ' ' && text[0] > ' '
}

// isAmount is a number, or an empty string, which is as good as none.
func isAmount(value jsontext.Value) bool { return string(value) == `""` || isNumber(value) }

// isDigits tells a text of nothing but digits.
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

// inner returns the text of a string, and any other value as it is spelled.
func inner(value jsontext.Value) []byte {
	if isText(value) {
		return unquote(value)
	}
	return value
}

// oneOf is a text out of a closed list.
func oneOf[S ~string](known ...S) kind {
	should := joinQuoted(known)
	return func(value jsontext.Value) (Code, string) {
		switch {
		case !isText(value):
			return WrongType, should
		case !slices.Contains(known, S(unquote(value))):
			return UnknownValue, should
		default:
			return "", ""
		}
	}
}

// oneNumberOf is a whole number out of a closed list.
func oneNumberOf(known ...string) kind {
	should := "the number " + strings.Join(known, " or ")
	return func(value jsontext.Value) (Code, string) {
		switch {
		case !isWhole(value):
			return WrongType, should
		case !slices.Contains(known, string(value)):
			return UnknownValue, should
		default:
			return "", ""
		}
	}
}

// leadID is the id of a lead ad's form. Source: Meta, customer information
// parameters (2026).
func leadID(value jsontext.Value) (Code, string) {
	const should = "an id of 15 to 17 digits"
	digits := inner(value)
	switch {
	case !isID(value):
		return WrongType, should
	case !isDigits(digits) || len(digits) < 15 || len(digits) > 17:
		return BadFormat, should
	default:
		return "", ""
	}
}

// currency is a code of ISO 4217, in either case. An empty one counts as none.
func currency(value jsontext.Value) (Code, string) {
	const should = "a currency code of ISO 4217, like USD"
	switch code := inner(value); {
	case !isText(value):
		return WrongType, should
	case len(code) == 0 || iso4217.IsValid(strings.ToUpper(string(code))):
		return "", ""
	default:
		return UnknownValue, should
	}
}
