package event

import (
	"bytes"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"
)

// Repairs lists everything that is brought into the form that Meta takes, where
// nothing is lost by it and nothing guessed: pointers as in [Event.Repaired].
func Repairs() []string {
	return []string{
		"/event_time", "/original_event_data/event_time", "/action_source", "/opt_out",
		"/data_processing_options_country", "/data_processing_options_state",
		"/custom_data/contents/*/quantity", "/app_data/extinfo/*",
		"/user_data/page_id", "/user_data/page_scoped_user_id", "/user_data/whatsapp_business_account_id",
		"/user_data/ig_account_id", "/user_data/instagram_business_account_id", "/user_data/ig_sid",
	}
}

// repair puts something else in the place of the value that was just read.
func (p *parser) repair(value jsontext.Value, instead string) {
	to := p.json.InputOffset()
	p.replace(to-int64(len(value)), to, instead)
	p.instead = p.mend(instead)
	p.event.Repaired = append(p.event.Repaired, p.kindOfPlace())
}

// mend keeps a repaired value, and returns which one it is.
func (p *parser) mend(instead string) int {
	p.mended = append(p.mended, instead)
	return len(p.mended)
}

// kindOfPlace returns the pointer to what is being read as [Repairs] has it, so
// that a thousand repairs keep no string each.
func (p *parser) kindOfPlace() string {
	var room [64]byte
	pointer := room[:0]
	for _, s := range p.path {
		if s.name == "" {
			pointer = append(pointer, "/*"...)
		} else {
			pointer = append(append(pointer, '/'), s.name...)
		}
	}
	for _, known := range p.repairs {
		if known == string(pointer) {
			return known
		}
	}
	return string(pointer)
}

// fillSource gives an event an action_source that has none, if one is
// configured for such.
func (p *parser) fillSource(from int64) {
	source := &p.kept[slotSource]
	if p.rules.DefaultActionSource == "" || source.there {
		return
	}
	const pointer = "/action_source"
	value := `"` + string(p.rules.DefaultActionSource) + `"`
	if source.null {
		p.replace(source.value, source.end, value)
	} else {
		member := `"action_source":` + value
		if first := bytes.TrimLeft(p.body[from+1:], space); first[0] != '}' {
			member += ","
		}
		p.replace(from+1, from+1, member)
	}
	*source = kept{there: true, sound: true, instead: p.mend(value)}
	p.event.Repaired = append(p.event.Repaired, pointer)
}

// The repairs. Each returns "" where it would have to guess.

// quoted puts a number into quotes, digit by digit.
func quoted(value jsontext.Value) string {
	if value.Kind() != '0' {
		return ""
	}
	return `"` + string(value) + `"`
}

// isTrimmedID is isID without white space at the ends.
func isTrimmedID(value jsontext.Value) bool {
	return isID(value) && len(bytes.TrimSpace(inner(value))) == len(inner(value))
}

// trimmed takes white space off the ends of a string.
func trimmed(value jsontext.Value) string {
	if !isText(value) {
		return ""
	}
	text, err := jsontext.AppendQuote(nil, bytes.TrimSpace(inner(value)))
	if err != nil { // unreachable: it is part of a valid string
		return ""
	}
	return string(text)
}

// asBoolean takes the quotes off a boolean, as Python or JavaScript spell it.
func asBoolean(value jsontext.Value) string {
	if !isText(value) {
		return ""
	}
	switch text := strings.ToLower(strings.TrimSpace(string(inner(value)))); text {
	case "true", "false":
		return text
	default:
		return ""
	}
}

// asWhole takes quotes off a whole number, and a fraction that is zero.
func asWhole(value jsontext.Value) string {
	whole, fraction, dotted := strings.Cut(strings.TrimSpace(string(inner(value))), ".")
	number := jsontext.Value(whole)
	if dotted && (fraction == "" || strings.Trim(fraction, "0") != "") || !isWhole(number) || !number.IsValid() || whole == "-0" {
		return ""
	}
	return whole
}

// asSeconds reads a time since 1970 in seconds, or as ISO 8601 with its offset.
// Fractions are cut off: rounded up, the event would be in the future.
func asSeconds(value jsontext.Value) string {
	if kind := value.Kind(); kind != '"' && kind != '0' {
		return ""
	}
	text := strings.TrimSpace(string(inner(value)))
	whole, fraction, dotted := strings.Cut(text, ".")
	if number := jsontext.Value(whole); isDigits(number) && number.IsValid() && (!dotted || isDigits([]byte(fraction))) {
		return whole
	}
	at, ok := timeIn(text, time.RFC3339, "2006-01-02T15:04:05Z0700", "2006-01-02T15:04:05Z07", "2006-01-02T15:04Z07:00")
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
