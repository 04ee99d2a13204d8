package event

import (
	"fmt"
	"strconv"

	"github.com/go-json-experiment/json/jsontext"
)

// parser reads one event, judges each member it knows, and keeps where those
// stand that the rules in validate.go look at.
type parser struct {
	*Decoder

	event    *Event
	path     []step // from the event to what is being read
	kept     [slots]kept
	people   []personalValue
	informed information
	edits    []edit
	unnamed  int      // faults beyond MaxFaults
	mended   []string // values in the form that Meta takes
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

// begin makes the parser ready for another event. What it keeps from one event
// to the next is room.
func (p *parser) begin(d *Decoder, e *Event) {
	*p = parser{Decoder: d, event: e, path: p.path[:0], people: p.people[:0], edits: p.edits[:0], mended: p.mended[:0]}
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
	code := f.kind.judge(value)
	if code == "" {
		return nil
	}
	if instead := f.kind.repaired(value); instead != "" {
		p.repair(value, instead)
		return nil
	}
	p.fault(code, f.subcode, "is "+p.told(value, &f.kind))
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
			p.inform(name, p.body[from:p.json.InputOffset()])
		}
		return err
	})
}

// elements reads a list, and tells how long it is, or -1 if it is none. Which
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
	if !isDigits(digits) {
		digits = []byte(asSeconds(value))
	}
	if len(digits) == 0 || len(digits) > mostDigits {
		p.fault(WrongType, 0, "is "+p.told(value, &p.seconds))
		return nil
	}
	if !isDigits(value) {
		p.repair(value, string(digits))
	}
	if len(digits) >= millisecondDigits {
		p.fault(NotSeconds, 2804004, "is "+string(digits)+", which looks like milliseconds or finer; write seconds, like "+string(digits[:millisecondDigits-2]))
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

func (p *parser) faultAt(pointer string, code Code, subcode int, message string) {
	if len(p.event.Faults) >= MaxFaults {
		p.unnamed++
		return
	}
	p.event.Faults = append(p.event.Faults, Fault{Pointer: pointer, Code: code, Subcode: subcode, Message: message})
}

// faults returns how many faults the event has so far.
func (p *parser) faults() int { return len(p.event.Faults) + p.unnamed }

// countTheRest adds the fault that stands for those beyond MaxFaults.
func (p *parser) countTheRest() {
	if p.unnamed > 0 {
		p.event.Faults = append(p.event.Faults, MoreThan(p.unnamed))
	}
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

// text returns the text of a kept string, or a kept number as it is spelled;
// "" if it is not there, or not what it should be.
func (p *parser) text(at slot) string {
	if !p.kept[at].sound {
		return ""
	}
	return string(inner(p.raw(at)))
}

// raw returns a kept value as it is spelled, or as it was repaired.
func (p *parser) raw(at slot) jsontext.Value {
	if instead := p.kept[at].instead; instead > 0 {
		return jsontext.Value(p.mended[instead-1])
	}
	return p.body[p.kept[at].value:p.kept[at].end]
}
