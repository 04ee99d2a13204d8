package event

import (
	"strconv"
	"strings"

	"github.com/capi-dispatcher/capi-dispatcher/graph/event/customer"
	"github.com/capi-dispatcher/capi-dispatcher/graph/event/rawjson"
	"github.com/capi-dispatcher/capi-dispatcher/graph/event/scalar"
)

// personalValue is a value that Meta wants hashed, or an element of a list of
// them.
type personalValue struct {
	field    customer.Field
	index    int   // in a list, else -1
	name     int64 // where its member begins
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

// place is the pointer as [Event.Removed] has it.
func (v personalValue) place() string {
	if v.index < 0 {
		return v.pointer()
	}
	return "/user_data/" + string(v.field) + "/*"
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
		return p.malformed(err)
	}
	v := personalValue{
		field: customer.Field(f.name), index: -1, name: p.memberAt, from: from, to: p.json.InputOffset(),
		sound: scalar.IsID(value),
	}
	if last := p.path[len(p.path)-1]; last.name == "" {
		v.index = last.index
	}
	if !v.sound {
		p.fault(WrongType, 0, "is "+scalar.Shown(value, p.isPrivate())+", not a string, a whole number, or a list of them")
	}
	p.people = append(p.people, v)
	return nil
}

// redacted stands where personal data stood that could not be hashed.
const redacted = `"[redacted]"`

// isProtected reports whether a member of user_data is personal data that
// [review.protect] looks at, and whether it says anything of the customer.
func (p *parser) isProtected(known schema, name []byte) bool {
	if !p.rules.HashPersonalData {
		return false
	}
	f := known[string(name)]
	return f != nil && f.personal
}

// protect hashes the personal data of the event. What cannot be hashed is of no
// use to Meta: it is taken out, or is a fault.
func (r review) protect() {
	if user := r.kept[slotUser]; user.there && !r.isObject(slotUser) {
		r.replace(user.value, user.end, redacted)
	}
	country := r.common(slotCountry)
	if code, err := customer.Normalize(customer.Country, country, ""); err == nil {
		country = code
	}
	for _, v := range r.people {
		if !v.sound {
			r.informed |= customer.Says([]byte(v.field))
			r.replace(v.from, v.to, redacted)
			continue
		}
		r.protectValue(v, string(rawjson.Inner(r.body[v.from:v.to])), country)
	}
}

func (r review) protectValue(v personalValue, text, country string) {
	if text == "" {
		return
	}
	if customer.IsHashed(v.field, text) {
		r.informed |= customer.Says([]byte(v.field))
		if lower := strings.ToLower(text); lower != text {
			r.replace(v.from, v.to, `"`+lower+`"`)
		}
		return
	}
	normalized, err := customer.Normalize(v.field, text, country)
	if err != nil {
		r.unusable(v, err)
		return
	}
	r.informed |= customer.Says([]byte(v.field))
	r.replace(v.from, v.to, `"`+customer.Hash(normalized)+`"`)
}

// unusable deals with personal data of which no hash can be made. Where it is a
// fault it is taken out, too, because a faulty event ends where people read it.
func (r review) unusable(v personalValue, err error) {
	if r.rules.UnusablePersonalData == Refuse {
		r.informed |= customer.Says([]byte(v.field))
		r.faultAt(v.pointer(), NotNormalizable, 0, string(v.field)+" "+err.Error())
		r.replace(v.from, v.to, redacted)
		return
	}
	from := v.name
	if v.index >= 0 {
		from = v.from
	}
	r.edits = append(r.edits, rawjson.Edit{From: from, To: v.to, Remove: true})
	r.event.Removed = append(r.event.Removed, v.place())
}
