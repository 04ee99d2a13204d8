package event

import (
	"bytes"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/capi-dispatcher/capi-dispatcher/graph/event/rawjson"
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
		if first := bytes.TrimLeft(p.body[from+1:], rawjson.Space); first[0] != '}' {
			member += ","
		}
		p.replace(from+1, from+1, member)
	}
	*source = kept{there: true, sound: true, instead: p.mend(value)}
	p.event.Repaired = append(p.event.Repaired, pointer)
}

func (p *parser) replace(from, to int64, instead string) {
	p.edits = append(p.edits, rawjson.Edit{From: from, To: to, Instead: instead})
}

// remove takes a kept member out of its object.
func (p *parser) remove(at slot) {
	p.edits = append(p.edits, rawjson.Edit{From: p.kept[at].name, To: p.kept[at].end, Remove: true})
}
