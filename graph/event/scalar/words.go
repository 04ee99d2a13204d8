package scalar

import (
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/agext/levenshtein"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/capi-dispatcher/capi-dispatcher/graph/event/rawjson"
	"github.com/capi-dispatcher/capi-dispatcher/graph/event/redact"
)

// mostShown is how many runes of a value a fault quotes.
const mostShown = 40

// Told says what a value is, what it should be, and how to mend it.
func (k *Kind) Told(value jsontext.Value, private bool) string {
	shown := Shown(value, private)
	if k.mend == nil || private {
		return shown + ", not " + k.Should
	}
	text := ""
	if kind := value.Kind(); kind == '0' || kind == '"' {
		text = string(rawjson.Inner(value))
	}
	if !isQuotable(text) {
		text = ""
	}
	if advice := k.mend(text); advice != "" {
		return shown + ", not " + k.Should + "; write " + advice
	}
	return shown + ", not " + k.Should
}

// Shown says what was found, for people. Names of the producer's own members and
// what is private are never quoted.
func Shown(value jsontext.Value, private bool) string {
	switch kind := value.Kind(); {
	case kind == '{':
		return "an object"
	case kind == '[':
		return "a list"
	case kind == 't' || kind == 'f' || kind == 'n':
		return string(value)
	case kind == '0' && private:
		return "another number"
	case kind == '0':
		return cutOff(string(value))
	case private:
		return "a text"
	default:
		return Quoted(string(rawjson.Inner(value)))
	}
}

// isQuotable reports whether a text can be neither an address nor a secret.
func isQuotable(text string) bool { return !strings.Contains(text, "@") && !redact.HoldsToken(text) }

// Quoted quotes a text, if it may be.
func Quoted(text string) string {
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

// JoinQuoted renders a closed list for a sentence: "a", "b" or "c".
func JoinQuoted[S ~string](values []S) string {
	quoted := make([]string, len(values))
	for i, v := range values {
		quoted[i] = `"` + string(v) + `"`
	}
	if len(quoted) == 1 {
		return quoted[0]
	}
	last := len(quoted) - 1
	return strings.Join(quoted[:last], ", ") + " or " + quoted[last]
}
