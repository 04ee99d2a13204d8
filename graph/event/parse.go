package event

import (
	"fmt"
	"strconv"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/capi-dispatcher/capi-dispatcher/graph/event/scalar"
)

// parser reads one event and judges each member it knows. What the event comes to
// is a [draft], of which a [review] looks at the whole.
type parser struct {
	*Decoder
	draft

	path []step // from the event to what is being read
	// Of the member that is being read: where its name begins, and which of
	// mended is its value now, counted from 1.
	memberAt int64
	instead  int
}

// step is one step of a JSON pointer: a member's name, or an index if there is
// none.
type step struct {
	name  string
	index int
}

// begin makes the parser ready for another event.
func (p *parser) begin(d *Decoder, e *Event) {
	p.Decoder, p.path, p.memberAt, p.instead = d, p.path[:0], 0, 0
	p.draft.begin(d.body, e)
}

// eventMember reads one member of the event.
func (p *parser) eventMember(name []byte, at int64) error {
	return p.member(p.schema, name, at)
}

// member reads one member of an object of which the schema is known.
func (p *parser) member(known schema, name []byte, at int64) error {
	f := known[string(name)]
	if f == nil {
		return p.skip()
	}
	k := kept{name: at, nameEnd: p.json.InputOffset(), value: p.nextValue(), null: p.json.PeekKind() == 'n'}
	before := p.faults()
	p.path, p.memberAt, p.instead = append(p.path, step{name: f.name}), at, 0
	var err error
	if k.null {
		err = p.skip()
	} else {
		err = p.value(f)
	}
	p.path, k.instead, p.instead = p.path[:len(p.path)-1], p.instead, 0
	k.end, k.there = p.json.InputOffset(), !k.null
	k.sound = k.there && p.faults() == before
	p.kept[f.slot] = k
	return err
}

// value reads a value and says what is wrong with it.
func (p *parser) value(f *field) error {
	switch {
	case f.read != nil:
		return f.read(p, f)
	case f.members != nil:
		return p.members(f)
	case f.elements != nil:
		_, err := p.elements(f, func(int) *field { return f.elements })
		return err
	default:
		return p.scalar(f)
	}
}

func (p *parser) scalar(f *field) error {
	value, err := p.json.ReadValue()
	if err != nil {
		return p.malformed(err)
	}
	code := f.kind.Judge(value)
	if code == "" {
		return nil
	}
	if instead := f.kind.Repaired(value); instead != "" {
		p.repair(value, instead)
		return nil
	}
	p.fault(Code(code), f.subcode, "is "+f.kind.Told(value, p.isPrivate()))
	return nil
}

// isPrivate reports whether what is being read is about the customer.
func (p *parser) isPrivate() bool { return len(p.path) > 0 && p.path[0].name == "user_data" }

// unexpected reads a value that should be an object, or a list.
func (p *parser) unexpected(f *field, should string) error {
	value, err := p.json.ReadValue()
	if err != nil {
		return p.malformed(err)
	}
	p.fault(WrongType, f.subcode, "is "+scalar.Shown(value, p.isPrivate())+", not "+should)
	return nil
}

func (p *parser) members(f *field) error {
	if p.json.PeekKind() != '{' {
		return p.unexpected(f, "an object")
	}
	return p.object(func(name []byte, at int64) error {
		from := p.nextValue()
		err := p.member(f.members, name, at)
		if err == nil && f.slot == slotUser && !p.isProtected(f.members, name) {
			p.inform(name, p.draft.body[from:p.json.InputOffset()])
		}
		return err
	})
}

// elements reads a list, and returns how long it is, or -1 if it is none. Which
// field an element is may depend on its place.
func (p *parser) elements(f *field, at func(index int) *field) (length int, err error) {
	if p.json.PeekKind() != '[' {
		return -1, p.unexpected(f, "a list; put it into [ ]")
	}
	if _, err := p.json.ReadToken(); err != nil {
		return 0, p.malformed(err)
	}
	for ; p.json.PeekKind() != ']'; length++ {
		f := at(length)
		if p.json.PeekKind() == 'n' && !f.required {
			if err := p.skip(); err != nil {
				return length, err
			}
			continue
		}
		p.path = append(p.path, step{index: length})
		err := p.value(f)
		p.path, p.instead = p.path[:len(p.path)-1], 0
		if err != nil {
			return length, err
		}
	}
	_, err = p.json.ReadToken()
	return length, p.malformed(err)
}

// millisecondDigits is how many digits a number has, as seconds, from the year
// 5138 on, while as milliseconds it is 1973.
const millisecondDigits = len("100000000000")

// eventTime reads whole seconds since 1970, as a JSON number.
func (p *parser) eventTime(*field) error {
	const mostDigits = 18 // that an int64 holds in any case
	value, err := p.json.ReadValue()
	if err != nil {
		return p.malformed(err)
	}
	digits := []byte(value)
	if !scalar.IsDigits(digits) {
		digits = []byte(scalar.AsSeconds(value))
	}
	if len(digits) == 0 || len(digits) > mostDigits {
		p.fault(WrongType, 0, "is "+p.seconds.Told(value, p.isPrivate()))
		return nil
	}
	if !scalar.IsDigits(value) {
		p.repair(value, string(digits))
	}
	if len(digits) >= millisecondDigits {
		p.fault(NotSeconds, 2804004, "is "+string(digits)+", which looks like milliseconds or finer; "+
			"write seconds, like "+string(digits[:millisecondDigits-2]))
	}
	return nil
}

// contentName is for the name that producers give to contents, and that Meta
// knows under another one.
func (p *parser) contentName(*field) error {
	p.fault(NotAllowed, 0, "is not a member that Meta knows in contents; call it title")
	return p.skip()
}

// anything reads a value that is judged later, or never.
func (p *parser) anything(*field) error { return p.skip() }

// repair puts something else in the place of the value that was just read.
func (p *parser) repair(value jsontext.Value, instead string) {
	to := p.json.InputOffset()
	p.replace(to-int64(len(value)), to, instead)
	p.instead = p.mend(instead)
	p.event.Repaired = append(p.event.Repaired, p.kindOfPlace())
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

// fault says what is wrong with what is being read.
func (p *parser) fault(code Code, subcode int, sentence string) {
	if len(p.event.Faults) >= MaxFaults {
		p.unnamed++ // a sentence that nobody gets costs nothing
		return
	}
	last := len(p.path) - 1
	name := p.path[last].name
	if name == "" {
		name = fmt.Sprintf("%s[%d]", p.path[last-1].name, p.path[last].index)
	}
	p.faultAt(pointerTo(p.path), code, subcode, name+" "+sentence)
}

// pointerTo renders a JSON pointer. The names come from the schema and hold
// nothing that would need an escape.
func pointerTo(path []step) string {
	var pointer []byte
	for _, s := range path {
		pointer = append(pointer, '/')
		if s.name != "" {
			pointer = append(pointer, s.name...)
		} else {
			pointer = strconv.AppendInt(pointer, int64(s.index), 10)
		}
	}
	return string(pointer)
}

// review returns what looks at the event that has been read.
func (p *parser) review() review { return review{&p.draft, &p.terms} }
