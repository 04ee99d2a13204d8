package event

import (
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/agext/levenshtein"
	iso4217 "github.com/bojanz/currency"
	"github.com/go-json-experiment/json/jsontext"
)

// mostShown is how many runes of a value a fault quotes.
const mostShown = 40

// told says what a value is, what it should be, and how to mend it.
func (p *parser) told(value jsontext.Value, want *kind) string {
	sentence := p.shown(value) + ", not " + want.should
	if want.mend == nil || p.isPrivate() {
		return sentence
	}
	text := ""
	if kind := value.Kind(); kind == '0' || kind == '"' && isQuotable(string(inner(value))) {
		text = string(inner(value))
	}
	if advice := want.mend(text); advice != "" {
		sentence += "; write " + advice
	}
	return sentence
}

// isPrivate reports whether what is being read is about the customer.
func (p *parser) isPrivate() bool { return len(p.path) > 0 && p.path[0].name == "user_data" }

// unexpected reads a value that should be an object, or a list.
func (p *parser) unexpected(f *field, should string) error {
	value, err := p.json.ReadValue()
	if err != nil {
		return p.malformed(err)
	}
	p.fault(WrongType, f.subcode, "is "+p.shown(value)+", not "+should)
	return nil
}

// shown says what was found, for people. Names of the producer's own members and
// what is said of the customer are never quoted.
func (p *parser) shown(value jsontext.Value) string {
	switch kind := value.Kind(); {
	case kind == '{':
		return "an object"
	case kind == '[':
		return "a list"
	case kind == 't' || kind == 'f' || kind == 'n':
		return string(value)
	case kind == '0' && p.isPrivate():
		return "another number"
	case kind == '0':
		return cutOff(string(value))
	case p.isPrivate():
		return "a text"
	default:
		return quotedForPeople(string(inner(value)))
	}
}

// isQuotable reports whether a text can be neither an address nor a secret.
func isQuotable(text string) bool { return !strings.Contains(text, "@") && !HoldsToken(text) }

// quotedForPeople quotes a text, if it may be.
func quotedForPeople(text string) string {
	if !isQuotable(text) {
		return "a text"
	}
	short := cutOff(text)
	if len(short) == len(text) {
		return strconv.Quote(text)
	}
	return strconv.Quote(strings.TrimSuffix(short, "…")) + "…"
}

func cutOff(text string) string {
	if utf8.RuneCountInString(text) <= mostShown {
		return text
	}
	return string([]rune(text)[:mostShown]) + "…"
}

// The advice: what to write instead of a text. It is for people, and may guess.

// nearest is the word of a list that was most likely meant, if one is near.
func nearest[S ~string](text string, known []S) string {
	const longest = 64 // to compare longer ones takes long
	text = strings.ToLower(strings.TrimSpace(text))
	if len(text) > longest {
		return ""
	}
	best, least := "", len(text)/2+1
	for _, k := range known {
		word := strings.ToLower(string(k))
		distance := levenshtein.Distance(text, word, nil)
		if text != "" && strings.HasPrefix(word, text) {
			distance = 0
		}
		if distance < least {
			best, least = string(k), distance
		}
	}
	if best == "" {
		return ""
	}
	return strconv.Quote(best)
}

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

// eventSeconds is what event_time has to be; how it is read, [parser.eventTime]
// knows.
func eventSeconds() kind {
	return kind{should: "a whole number of seconds since 1970"}.mendedBy(secondsOf)
}

// secondsOf advises on a time. One without an offset may be hours off.
func secondsOf(text string) string {
	if _, ok := timeIn(strings.TrimSpace(text), "2006-01-02T15:04:05", "2006-01-02 15:04:05", "2006-01-02T15:04", "2006-01-02"); ok {
		return "it with its offset from UTC, like 2006-01-02T15:04:05Z, or as seconds"
	}
	return "seconds, like 1767225600, or ISO 8601 with an offset, like 2026-01-01T00:00:00Z"
}
