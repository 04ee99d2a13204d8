package event

import (
	"fmt"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/capi-dispatcher/capi-dispatcher/graph/event/rawjson"
)

// extinfoSlots is how many values extinfo has; those that are not known are
// empty strings. Source: Meta, app data parameters (2026).
const extinfoSlots = 16

// extinfoReader reads extinfo, whose values are told apart by their place.
func extinfoReader(k kinds) func(*parser, *field) error {
	text := &field{kind: k.text.repairedBy(quoted)}
	whole := &field{kind: of(k.whole.should, func(v jsontext.Value) bool { return string(v) == `""` || isWholeText(v) }).repairedBy(asWhole)}
	known := map[int]*field{
		0:  {kind: oneOf("a2", "i2"), required: true},
		2:  {kind: of("a string or a whole number", func(v jsontext.Value) bool { return isText(v) || isWhole(v) }).repairedBy(quoted)},
		4:  {kind: osVersion().repairedBy(quoted), subcode: 2804043, required: true},
		9:  whole,
		10: whole,
		12: whole,
		13: whole,
		14: whole,
	}
	return func(p *parser, f *field) error {
		length, err := p.elements(f, func(index int) *field {
			if f := known[index]; f != nil {
				return f
			}
			return text
		})
		if length >= 0 && length != extinfoSlots {
			p.fault(WrongLength, 0, fmt.Sprintf("has %d values, not %d; those that are not known are empty strings", length, extinfoSlots))
		}
		return err
	}
}

func osVersion() kind {
	return kind{should: "the version of the operating system", judge: func(value jsontext.Value) Code {
		switch {
		case !isText(value):
			return WrongType
		case strings.TrimSpace(string(rawjson.Inner(value))) == "":
			return Empty
		default:
			return ""
		}
	}}
}
