package scalar

import (
	"regexp"
	"strconv"
	"strings"

	iso4217 "github.com/bojanz/currency"
	"github.com/go-json-experiment/json/jsontext"
)

// How amounts are written.
var (
	amountInText   = regexp.MustCompile(`^[^0-9.,-]*(-?[0-9][0-9., '’\x{00a0}]*)[^0-9.,]*$`)
	decimalComma   = regexp.MustCompile(`^-?(\d{1,3}([. '’\x{00a0}]\d{3})+|\d+),(\d{1,2}|\d{4,})$`)
	decimalPoint   = regexp.MustCompile(`^-?(\d{1,3}([, '’\x{00a0}]\d{3})*|\d+)(\.\d+)?$`)
	trailingZeros  = regexp.MustCompile(`(\.\d*?)0+$`)
	groupSeparator = strings.NewReplacer(" ", "", "'", "", "’", "", "\u00a0", "")
)

// plainNumber reads an amount as people write it. Of 1,234 nobody can tell
// whether it is more than a thousand.
func plainNumber(text string) string {
	found := amountInText.FindStringSubmatch(cutOff(strings.TrimSpace(text)))
	if found == nil {
		return "a number like 12.5"
	}
	amount := strings.TrimRight(found[1], " .,'’\u00a0")
	switch {
	case decimalComma.MatchString(amount):
		amount = strings.ReplaceAll(strings.ReplaceAll(amount, ".", ""), ",", ".")
	case decimalPoint.MatchString(amount) && (strings.Contains(amount, ".") || !strings.Contains(amount, ",")):
		amount = strings.ReplaceAll(amount, ",", "")
	default:
		return "a number like 12.5"
	}
	amount = trailingZeros.ReplaceAllString(groupSeparator.Replace(amount), "$1")
	return strings.TrimSuffix(amount, ".")
}

func wholeNumber(text string) string {
	if number := plainNumber(text); isWhole(jsontext.Value(number)) {
		return number
	}
	return "a whole number like 2"
}

func yesOrNo(text string) string {
	switch strings.ToLower(strings.TrimSpace(text)) {
	case "true", "yes", "y", "on", "1", "ja", "oui", "si", "sí":
		return "true"
	case "false", "no", "n", "off", "0", "nein", "non":
		return "false"
	default:
		return "true or false"
	}
}

func currencyCode(text string) string {
	text = strings.ToUpper(strings.TrimSpace(text))
	switch text { // signs of many currencies, like $, tell nothing
	case "€", "EURO", "EUROS":
		text = "EUR"
	case "£":
		text = "GBP"
	case "₹":
		text = "INR"
	case "฿":
		text = "THB"
	}
	if iso4217.IsValid(text) {
		return strconv.Quote(text)
	}
	return `a code like "USD"`
}

// secondsOf advises on a time. One without an offset may be hours off.
func secondsOf(text string) string {
	if _, ok := timeIn(strings.TrimSpace(text),
		"2006-01-02T15:04:05", "2006-01-02 15:04:05", "2006-01-02T15:04", "2006-01-02"); ok {
		return "it with its offset from UTC, like 2006-01-02T15:04:05Z, or as seconds"
	}
	return "seconds, like 1767225600, or ISO 8601 with an offset, like 2026-01-01T00:00:00Z"
}
