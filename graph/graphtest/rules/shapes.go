package rules

import (
	"bytes"
	"encoding/json"
	"io"
	"slices"
	"strings"
)

// object is a JSON object whose numbers keep their digits. Members that are
// null are left out: Graph takes them for absent.
type object map[string]any

// readObject reads an object; nil if it is none.
func readObject(raw json.RawMessage) object {
	var value any
	decoder := json.NewDecoder(bytes.NewReader(raw))
	decoder.UseNumber()
	if err := decoder.Decode(&value); err != nil {
		return nil
	}
	if _, err := decoder.Token(); err != io.EOF {
		return nil
	}
	got, _ := withoutNulls(value).(map[string]any)
	return got
}

// withoutNulls takes the nulls out of all objects. In lists they stay, because
// places can have a meaning there.
func withoutNulls(value any) any {
	switch value := value.(type) {
	case map[string]any:
		for name, inner := range value {
			if inner == nil {
				delete(value, name)
			} else {
				value[name] = withoutNulls(inner)
			}
		}
	case []any:
		for i := range value {
			value[i] = withoutNulls(value[i])
		}
	}
	return value
}

// text returns a member's text: a string's, or a number's digits.
func (o object) text(name string) string {
	switch value := o[name].(type) {
	case string:
		return value
	case json.Number:
		return value.String()
	default:
		return ""
	}
}

func (o object) object(name string) object {
	inner, _ := o[name].(map[string]any)
	return inner
}

// has reports whether a member is there at all, even empty.
func (o object) has(name string) bool { return o[name] != nil }

// shape is what a value has to be.
type shape struct {
	words string // "a number"
	fits  func(any) bool
}

// members are the names of members that share a shape.
type members struct {
	shape

	names string // separated by spaces
}

// misfit finds the first member that is there and not of its shape.
func (o object) misfit(all ...members) (name, words string, found bool) {
	for _, group := range all {
		for name := range strings.FieldsSeq(group.names) {
			if o.has(name) && !group.fits(o[name]) {
				return name, group.words, true
			}
		}
	}
	return "", "", false
}

func aText() shape {
	return shape{"a string", func(v any) bool { _, ok := v.(string); return ok }}
}

func aBoolean() shape {
	return shape{"a boolean", func(v any) bool { _, ok := v.(bool); return ok }}
}

// aSwitch is a boolean, or what older SDKs send for one.
func aSwitch() shape {
	return shape{"a boolean", func(v any) bool {
		return aBoolean().fits(v) || v == json.Number("0") || v == json.Number("1")
	}}
}

func anObject() shape {
	return shape{"an object", func(v any) bool { _, ok := v.(map[string]any); return ok }}
}

// anID is a string or a number of digits only.
func anID() shape {
	return shape{"an id", func(v any) bool {
		number, ok := v.(json.Number)
		return aText().fits(v) || ok && isDigits(number.String())
	}}
}

// aNumber is a number, or one in a string.
func aNumber() shape { return numeral("a number", isNumber) }

// anInteger is a number without fraction and exponent.
func anInteger() shape {
	return shape{"an integer", func(v any) bool {
		number, ok := v.(json.Number)
		return ok && isInteger(number.String())
	}}
}

// anIntegerOrItsText is an integer, or one in a string.
func anIntegerOrItsText() shape { return numeral("an integer", isInteger) }

// orEmpty lets an empty string pass for none.
func orEmpty(s shape) shape {
	return shape{s.words, func(v any) bool { return v == "" || s.fits(v) }}
}

func either(a, b shape) shape {
	return shape{a.words + " or " + b.words, func(v any) bool { return a.fits(v) || b.fits(v) }}
}

// aListOf is an array; nulls in it are not there.
func aListOf(s shape) shape {
	return shape{"a list, each item " + s.words, func(v any) bool {
		list, ok := v.([]any)
		return ok && !slices.ContainsFunc(list, func(item any) bool { return item != nil && !s.fits(item) })
	}}
}

// oneOf is one of some words, or of some numbers.
func oneOf[T ~string](words ...T) shape {
	return shape{"one of the documented values", func(v any) bool {
		word, ok := v.(T)
		return ok && slices.Contains(words, word)
	}}
}

// numeral is a number, or a string with one in it, whose text is of a form.
func numeral(words string, form func(string) bool) shape {
	return shape{words, func(v any) bool {
		switch v := v.(type) {
		case json.Number:
			return form(v.String())
		case string:
			return form(v)
		}
		return false
	}}
}

// isNumber reports whether a text is a JSON number, with nothing around it.
func isNumber(text string) bool {
	return text != "" && (text[0] == '-' || isDigits(text[:1])) && isDigits(text[len(text)-1:]) && json.Valid([]byte(text))
}

func isInteger(text string) bool { return isNumber(text) && isDigits(strings.TrimPrefix(text, "-")) }

func isDigits(text string) bool {
	return text != "" && strings.Trim(text, "0123456789") == ""
}

// isEmpty reports whether a value says nothing: a blank string, list or
// object, or one with nothing but such in it.
func isEmpty(value any) bool {
	switch value := value.(type) {
	case nil:
		return true
	case string:
		return strings.TrimSpace(value) == ""
	case []any:
		return !slices.ContainsFunc(value, func(v any) bool { return !isEmpty(v) })
	case map[string]any:
		for _, inner := range value {
			if !isEmpty(inner) {
				return false
			}
		}
		return true
	default:
		return false
	}
}
