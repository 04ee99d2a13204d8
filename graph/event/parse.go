package event

import (
	"bytes"
	"strconv"
	"time"

	"github.com/go-json-experiment/json/jsontext"
)

// parser reads one event and remembers what it has seen of it.
type parser struct {
	*Decoder

	event *Event
	seen  seen
	user  userData
}

// seen marks required members that were there, faulty or not, so that a
// faulty one is not called missing as well.
type seen struct{ name, time, userData, actionSource, channel bool }

// userData holds what a business messaging event needs of user_data. A has
// flag is set for a member that is there, faulty or not.
type userData struct {
	pageID, pageScopedUserID   string
	whatsAppID, ctwaClid       string
	igAccountID, igBusinessID  string
	igScopedID                 string
	hasPageID, hasPageScoped   bool
	hasWhatsAppID, hasCtwaClid bool
	hasIGAccount, hasIGScoped  bool
}

// eventMember reads one member of the event.
func (p *parser) eventMember(name []byte) error {
	if p.json.PeekKind() == 'n' { // null is as good as absent
		return p.skip()
	}
	switch string(name) {
	case "event_name":
		return p.text("/event_name", &p.event.Name, &p.seen.name)
	case "event_id":
		return p.id("/event_id", &p.event.ID, new(bool))
	case "event_time":
		p.seen.time = true
		return p.eventTime()
	case "action_source":
		return p.text("/action_source", (*string)(&p.event.ActionSource), &p.seen.actionSource)
	case "messaging_channel":
		return p.text("/messaging_channel", (*string)(&p.event.Channel), &p.seen.channel)
	case "user_data":
		p.seen.userData = true
		return p.userDataObject()
	default:
		return p.skip()
	}
}

func (p *parser) userDataObject() error {
	if p.json.PeekKind() != '{' {
		p.fault("/user_data", WrongType, "user_data is an object")
		return p.skip()
	}
	return p.object(p.userMember)
}

// userMember reads one member of user_data.
func (p *parser) userMember(name []byte) error {
	if p.json.PeekKind() == 'n' {
		return p.skip()
	}
	u := &p.user
	switch string(name) {
	case "page_id":
		return p.id("/user_data/page_id", &u.pageID, &u.hasPageID)
	case "page_scoped_user_id":
		return p.id("/user_data/page_scoped_user_id", &u.pageScopedUserID, &u.hasPageScoped)
	case "whatsapp_business_account_id":
		return p.id("/user_data/whatsapp_business_account_id", &u.whatsAppID, &u.hasWhatsAppID)
	case "ctwa_clid":
		return p.text("/user_data/ctwa_clid", &u.ctwaClid, &u.hasCtwaClid)
	case "ig_account_id":
		return p.id("/user_data/ig_account_id", &u.igAccountID, &u.hasIGAccount)
	case "instagram_business_account_id":
		return p.id("/user_data/instagram_business_account_id", &u.igBusinessID, &u.hasIGAccount)
	case "ig_sid":
		return p.id("/user_data/ig_sid", &u.igScopedID, &u.hasIGScoped)
	default:
		return p.skip()
	}
}

// text reads a string that may not be empty.
func (p *parser) text(pointer string, into *string, seen *bool) error {
	*seen = true
	if p.json.PeekKind() != '"' {
		p.fault(pointer, WrongType, lastToken(pointer)+" is a string")
		return p.skip()
	}
	quoted, err := p.json.ReadValue()
	if err != nil {
		return malformed(err)
	}
	*into = string(unquote(quoted))
	if *into == "" {
		p.fault(pointer, Empty, lastToken(pointer)+" is empty")
	}
	return nil
}

// id reads an identifier: a string, or an integer kept digit by digit.
func (p *parser) id(pointer string, into *string, seen *bool) error {
	if p.json.PeekKind() != '0' {
		return p.text(pointer, into, seen)
	}
	*seen = true
	number, err := p.json.ReadValue()
	if err != nil {
		return malformed(err)
	}
	if !isDigits(number) {
		p.fault(pointer, WrongType, lastToken(pointer)+" is a string or a whole number")
		return nil
	}
	*into = string(number)
	return nil
}

// eventTime reads event_time: whole seconds since 1970, as a JSON number.
func (p *parser) eventTime() error {
	const pointer = "/event_time"
	if p.json.PeekKind() != '0' {
		p.fault(pointer, WrongType, "event_time is a whole number of seconds since 1970, not in quotes")
		return p.skip()
	}
	number, err := p.json.ReadValue()
	if err != nil {
		return malformed(err)
	}
	seconds, err := strconv.ParseInt(string(number), 10, 64)
	switch {
	case err != nil || !isDigits(number):
		p.fault(pointer, WrongType, "event_time is a whole number of seconds since 1970")
	case seconds >= firstMilliseconds:
		p.fault(pointer, NotSeconds, "event_time is in seconds; this looks like milliseconds or finer")
	default:
		p.event.Time = time.Unix(seconds, 0)
	}
	return nil
}

// firstMilliseconds is where a number of seconds would lie past the year
// 5138, while as milliseconds it is 1973.
const firstMilliseconds = 100_000_000_000

func (p *parser) fault(pointer string, code Code, message string) {
	p.event.Faults = append(p.event.Faults, Fault{Pointer: pointer, Code: code, Message: message})
}

func isDigits(text jsontext.Value) bool {
	for _, c := range text {
		if c < '0' || c > '9' {
			return false
		}
	}
	return len(text) > 0
}

// lastToken returns the member that a JSON pointer ends in.
func lastToken(pointer string) string {
	return pointer[bytes.LastIndexByte([]byte(pointer), '/')+1:]
}
