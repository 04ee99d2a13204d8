package event

import (
	"strconv"
	"strings"

	"github.com/capi-dispatcher/capi-dispatcher/graph/event/customer"
)

// personalValue is a value that Meta wants hashed, or an element of a list of
// them.
type personalValue struct {
	field    customer.Field
	index    int // in a list, else -1
	from, to int64
	sound    bool
}

func (v personalValue) pointer() string {
	pointer := "/user_data/" + string(v.field)
	if v.index < 0 {
		return pointer
	}
	return pointer + "/" + strconv.Itoa(v.index)
}

// personal reads a member that Meta wants hashed: one value, or a list.
func (p *parser) personal(f *field) error {
	if p.json.PeekKind() == '[' {
		_, err := p.elements(f, func(int) *field { return &field{name: f.name, read: (*parser).personalValue} })
		return err
	}
	return p.personalValue(f)
}

func (p *parser) personalValue(f *field) error {
	from := p.nextValue()
	value, err := p.json.ReadValue()
	if err != nil {
		return malformed(err)
	}
	v := personalValue{field: customer.Field(f.name), index: -1, from: from, to: p.json.InputOffset(), sound: isID(value)}
	if last := p.path[len(p.path)-1]; last.name == "" {
		v.index = last.index
	}
	if !v.sound {
		p.fault(WrongType, 0, "is a string, a whole number, or a list of them")
	}
	p.people = append(p.people, v)
	return nil
}

// redacted stands where personal data stood that could not be hashed.
const redacted = `"[redacted]"`

// protect hashes the personal data of the event. What cannot be hashed is a
// fault, and is taken out, because a faulty event ends where people read it.
func (p *parser) protect() {
	if user := p.kept[slotUser]; user.there && !p.isObject(slotUser) {
		p.replace(user.value, user.end, redacted)
	}
	country := p.text(slotCountry)
	for _, v := range p.people {
		if !v.sound {
			p.replace(v.from, v.to, redacted)
			continue
		}
		p.protectValue(v, string(inner(p.body[v.from:v.to])), country)
	}
}

func (p *parser) protectValue(v personalValue, text, country string) {
	switch {
	case text == "":
	case customer.IsHashed(v.field, text):
		if lower := strings.ToLower(text); lower != text {
			p.replace(v.from, v.to, `"`+lower+`"`)
		}
	default:
		normalized, err := customer.Normalize(v.field, text, country)
		if err != nil {
			p.faultAt(v.pointer(), NotNormalizable, 0, string(v.field)+" "+err.Error())
			p.replace(v.from, v.to, redacted)
			return
		}
		p.replace(v.from, v.to, `"`+customer.Hash(normalized)+`"`)
	}
}
