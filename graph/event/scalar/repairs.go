package scalar

import (
	"bytes"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/capi-dispatcher/capi-dispatcher/graph/event/rawjson"
)

// The repairs. Each returns "" where it would have to guess.

// quoted puts a number into quotes, digit by digit.
func quoted(value jsontext.Value) string {
	if value.Kind() != '0' {
		return ""
	}
	return `"` + string(value) + `"`
}

// isTrimmedID is IsID without white space at the ends.
func isTrimmedID(value jsontext.Value) bool {
	return IsID(value) && len(bytes.TrimSpace(rawjson.Inner(value))) == len(rawjson.Inner(value))
}

// trimmed takes white space off the ends of a string.
func trimmed(value jsontext.Value) string {
	if !IsText(value) {
		return ""
	}
	text, err := jsontext.AppendQuote(nil, bytes.TrimSpace(rawjson.Inner(value)))
	if err != nil { // unreachable: it is part of a valid string
		return ""
	}
	return string(text)
}

// asBoolean takes the quotes off a boolean, as Python or JavaScript spell it.
func asBoolean(value jsontext.Value) string {
	if !IsText(value) {
		return ""
	}
	switch text := strings.ToLower(strings.TrimSpace(string(rawjson.Inner(value)))); text {
	case "true", "false":
		return text
	default:
		return ""
	}
}

// asWhole takes quotes off a whole number, and a fraction that is zero.
func asWhole(value jsontext.Value) string {
	whole, fraction, dotted := strings.Cut(strings.TrimSpace(string(rawjson.Inner(value))), ".")
	number := jsontext.Value(whole)
	if dotted && (fraction == "" || strings.Trim(fraction, "0") != "") || !isWhole(number) || !number.IsValid() ||
		whole == "-0" {
		return ""
	}
	return whole
}

// AsSeconds reads a time since 1970 in seconds, or as ISO 8601 with its offset.
// Fractions are cut off: rounded up, the event would be in the future.
func AsSeconds(value jsontext.Value) string {
	if kind := value.Kind(); kind != '"' && kind != '0' {
		return ""
	}
	text := strings.TrimSpace(string(rawjson.Inner(value)))
	whole, fraction, dotted := strings.Cut(text, ".")
	if number := jsontext.Value(whole); IsDigits(number) && number.IsValid() && (!dotted || IsDigits([]byte(fraction))) {
		return whole
	}
	at, ok := timeIn(text,
		time.RFC3339, "2006-01-02T15:04:05Z0700", "2006-01-02T15:04:05Z07", "2006-01-02T15:04Z07:00")
	if !ok || at.Unix() < 0 {
		return ""
	}
	return strconv.FormatInt(at.Unix(), 10)
}

// timeIn reads a date of ISO 8601 in one of some layouts. Anything else is told by
// how it begins: to try layouts on it takes long.
func timeIn(text string, layouts ...string) (at time.Time, ok bool) {
	const year = len("2006")
	if len(text) <= year || text[year] != '-' {
		return at, false
	}
	for _, layout := range layouts {
		if at, err := time.Parse(layout, text); err == nil {
			return at, true
		}
	}
	return at, false
}
