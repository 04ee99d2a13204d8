package event

import (
	"fmt"

	"github.com/capi-dispatcher/capi-dispatcher/graph/event/scalar"
)

// extinfoSlots is how many values extinfo has; those that are not known are
// empty strings. Source: Meta, app data parameters (2026).
const extinfoSlots = 16

// extinfoReader reads extinfo, whose values are told apart by their place.
func extinfoReader(k scalar.Kinds) func(*parser, *field) error {
	text, whole := &field{kind: k.QuotedText}, &field{kind: k.WholeOrEmpty}
	known := map[int]*field{
		0:  {kind: scalar.OneOf("a2", "i2"), required: true},
		2:  {kind: k.QuotedVersion},
		4:  {kind: k.OSVersion, subcode: 2804043, required: true},
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
