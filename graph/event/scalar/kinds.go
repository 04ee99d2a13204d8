package scalar

import (
	"slices"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/capi-dispatcher/capi-dispatcher/graph/event/rawjson"
)

// Kinds are the kinds that many members share.
type Kinds struct {
	Text, ID, Account, Boolean, Flag, Whole, Count, Seconds, WholeText, Number, Amount, TextOrBoolean Kind

	// Those of extinfo, where what is not known is an empty string.
	QuotedText, QuotedVersion, WholeOrEmpty, OSVersion Kind
}

// NewKinds returns them.
func NewKinds() Kinds {
	return Kinds{
		Text:          of("a string", IsText),
		ID:            of("a string or a whole number", IsID),
		Account:       of("a string or a whole number", isTrimmedID).repairedBy(trimmed),
		Boolean:       of("true or false", isBoolean).repairedBy(asBoolean).mendedBy(yesOrNo),
		Flag:          of("true, false, 0 or 1", isFlag).mendedBy(yesOrNo),
		Whole:         of("a whole number", isWhole).mendedBy(wholeNumber),
		Count:         of("a whole number", isWhole).repairedBy(asWhole).mendedBy(wholeNumber),
		Seconds:       of("a whole number", isWhole).repairedBy(AsSeconds).mendedBy(secondsOf),
		WholeText:     of("a whole number", isWholeText).mendedBy(wholeNumber),
		Number:        of("a number", isNumber).mendedBy(plainNumber),
		Amount:        of("a number", isAmount).mendedBy(plainNumber),
		TextOrBoolean: of("a string, true or false", func(v jsontext.Value) bool { return IsText(v) || isBoolean(v) }),

		QuotedText:    of("a string", IsText).repairedBy(quoted),
		QuotedVersion: of("a string or a whole number", func(v jsontext.Value) bool { return IsText(v) || isWhole(v) }).repairedBy(quoted),
		WholeOrEmpty:  of("a whole number", func(v jsontext.Value) bool { return string(v) == `""` || isWholeText(v) }).repairedBy(asWhole),
		OSVersion:     osVersion().repairedBy(quoted),
	}
}

// EventSeconds is what event_time has to be. How it is read is another matter, so
// that it judges nothing.
func EventSeconds() Kind {
	return Kind{Should: "a whole number of seconds since 1970"}.mendedBy(secondsOf)
}

// OneOf is a text out of a closed list.
func OneOf[S ~string](known ...S) Kind {
	judge := func(value jsontext.Value) Wrong {
		switch {
		case !IsText(value):
			return WrongType
		case !slices.Contains(known, S(rawjson.Unquote(value))):
			return UnknownValue
		default:
			return ""
		}
	}
	return Kind{Should: JoinQuoted(known), judge: judge}.mendedBy(func(text string) string { return nearest(text, known) })
}

// OneNumberOf is a whole number out of a closed list.
func OneNumberOf(known ...string) Kind {
	judge := func(value jsontext.Value) Wrong {
		switch {
		case !isWhole(value):
			return WrongType
		case !slices.Contains(known, string(value)):
			return UnknownValue
		default:
			return ""
		}
	}
	return Kind{Should: "the number " + strings.Join(known, " or "), judge: judge}.repairedBy(asWhole)
}

// LeadID is the id of a lead ad's form. Source: Meta, customer information
// parameters (2026).
func LeadID() Kind {
	return Kind{Should: "an id of 15 to 17 digits", judge: func(value jsontext.Value) Wrong {
		digits := rawjson.Inner(value)
		switch {
		case !IsID(value):
			return WrongType
		case !IsDigits(digits) || len(digits) < 15 || len(digits) > 17:
			return BadFormat
		default:
			return ""
		}
	}}
}

func osVersion() Kind {
	return Kind{Should: "the version of the operating system", judge: func(value jsontext.Value) Wrong {
		switch {
		case !IsText(value):
			return WrongType
		case strings.TrimSpace(string(rawjson.Inner(value))) == "":
			return Empty
		default:
			return ""
		}
	}}
}

// DeliveryCategory is how an order gets to the customer.
func DeliveryCategory() Kind { return OneOf("in_store", "curbside", "home_delivery") }
