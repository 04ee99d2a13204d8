package event

import (
	"encoding/json"
	"regexp"
	"slices"
	"strings"

	"github.com/capi-dispatcher/capi-dispatcher/graph/event/customer"
	"github.com/capi-dispatcher/capi-dispatcher/graph/event/reference"
	"github.com/capi-dispatcher/capi-dispatcher/graph/event/scalar"
)

// Schema is a part of a JSON Schema.
type Schema map[string]any

// beyondSchema is what the schema cannot say, or leaves to the decoder.
const beyondSchema = "It refuses nothing that the dispatcher takes. It cannot say: that JSON names no member twice and is sound UTF-8; " +
	"how old event_time may be, and that it is in seconds; whether what user_data says of the customer fits too many people; " +
	"which currencies there are; how many digits an id has, and the form of numbers in strings; what the places of extinfo hold; " +
	"whether personal data can be normalised; how large an event may be; whether its dataset and its accounts are known, or its account will be filled in."

// JSONSchema returns the JSON Schema (draft 2020-12) of a message: a server
// event, or a request body with events. It is read off the same tables that the
// decoder goes by, by asking the decoder which values each member may have. filled
// are the channels of which a missing account may be filled in.
func JSONSchema(rules Rules, filled ...Channel) Schema {
	a := newAsker(rules)
	text := Schema{"type": []string{"string", "null"}}
	return Schema{
		"$schema":     "https://json-schema.org/draft/2020-12/schema",
		"$id":         "urn:capi-dispatcher:message", // so that it can stand in other documents
		"title":       "Message of capi-dispatcher: a server event of Meta's Conversions API, or a request body",
		"description": beyondSchema,
		"if":          Schema{"required": []string{"data"}, "properties": Schema{"data": Schema{"type": "array"}}},
		"then":        Schema{"$ref": "#/$defs/body"},
		"else":        Schema{"$ref": "#/$defs/event"},
		"$defs": Schema{
			"event": a.event(rules, filled),
			"body": Schema{
				"type": "object",
				"properties": Schema{
					"data": Schema{
						"type": "array", "minItems": 1, "maxItems": MaxEvents,
						"items": Schema{"$ref": "#/$defs/event"},
					},
					"partner_agent": text, "test_event_code": text,
				},
			},
		},
	}
}

func (a *asker) event(rules Rules, filled []Channel) Schema {
	chat := comesFrom(BusinessMessaging, rules)
	top, user := a.properties(nil, eventSchema()), a.properties([]string{"user_data"}, userSchema(scalar.NewKinds()))
	var elsewhere, inChats []Schema
	for _, extra := range extras() { // whatever they are, in chats they are taken out
		properties, into := top, func(s Schema) Schema { return s }
		if strings.HasPrefix(extra.pointer, "/user_data/") {
			properties, into = user, func(s Schema) Schema { return inside("user_data", s) }
		}
		name := lastToken(extra.pointer)
		elsewhere = append(elsewhere, into(inside(name, properties[name].(Schema))))
		inChats = append(inChats, into(inside(name, Schema{"type": "null"})))
		delete(properties, name)
	}
	if rules.MessagingExtras == Remove {
		inChats = nil
	}
	top["user_data"] = Schema{"type": "object", "properties": user}
	top[reference.Member] = Schema{"description": "for the dispatcher, which takes it out: whose conversion it is, see docs/attribution.md"}
	return Schema{
		"type": "object", "properties": top,
		"allOf": []Schema{
			needs(alwaysNeeded(rules)...),
			{"if": chat, "then": both(append(inChats, messagingNeeds(rules, filled))...), "else": both(elsewhere...)},
			{"if": comesFrom(Website, rules), "then": needs("event_source_url")},
			{"if": comesFrom(App, rules), "then": within("app_data", needs("extinfo"))},
			{"if": is("event_name", "Purchase"), "then": within("custom_data", needs("value", "currency"))},
			{"if": limits(), "then": both(needs("data_processing_options_country"), Schema{"anyOf": []Schema{
				needs("data_processing_options_state"),
				both(Schema{"not": chat}, within("user_data", needs("client_ip_address"))),
			}})},
		},
	}
}

// alwaysNeeded are the members that every event has.
func alwaysNeeded(rules Rules) []string {
	names := []string{"event_name", "event_time", "user_data"}
	if rules.DefaultActionSource == "" {
		names = append(names, "action_source")
	}
	return names
}

// comesFrom says that this is an event's action_source, or will be: one that names
// none gets the default.
func comesFrom(source ActionSource, rules Rules) Schema {
	if source != rules.DefaultActionSource {
		return is("action_source", string(source))
	}
	return inside("action_source", Schema{"enum": []any{source, nil}})
}

// messagingNeeds are the rules for events in chats.
func messagingNeeds(rules Rules, filled []Channel) Schema {
	user := func(s Schema) Schema { return within("user_data", s) }
	account := func(of Channel, names ...string) Schema { return oneAccount(slices.Contains(filled, of), names) }
	all := []Schema{
		needs("messaging_channel"),
		{"if": is("event_name", "OrderCreated"), "then": within("custom_data", needs("currency"))},
	}
	if !rules.Attributed { // else what is missing may be known from a webhook
		all = append(all, []Schema{
			{"if": is("messaging_channel", string(Messenger)), "then": user(both(needs("page_scoped_user_id"),
				account(Messenger, "page_id")))},
			{"if": is("messaging_channel", string(WhatsApp)), "then": user(both(needs("ctwa_clid"),
				account(WhatsApp, "whatsapp_business_account_id", "page_id")))},
			{"if": is("messaging_channel", string(Instagram)), "then": user(both(needs("ig_sid"),
				account(Instagram, "ig_account_id", "instagram_business_account_id")))},
		}...)
	}
	return Schema{
		"properties": Schema{
			"event_name":        Schema{"enum": rules.MessagingEvents},
			"messaging_channel": Schema{"enum": Channels()},
		},
		"allOf": all,
	}
}

// oneAccount says that one of these accounts is named, or, where it is filled in
// then, none is there.
func oneAccount(filled bool, names []string) Schema {
	var options, there []Schema
	for _, name := range names {
		options = append(options, needs(name))
		there = append(there, Schema{"required": []string{name}})
	}
	if filled {
		options = append(options, Schema{"not": either(there...)})
	}
	return either(options...)
}

func limits() Schema {
	return Schema{"required": []string{"data_processing_options"}, "properties": Schema{
		"data_processing_options": Schema{"type": "array", "contains": Schema{"const": limitedDataUse}},
	}}
}

// is says that a member is there, and is this text.
func is(name, text string) Schema {
	return Schema{"required": []string{name}, "properties": Schema{name: Schema{"const": text}}}
}

// needs says that members are there, and neither null nor empty.
func needs(names ...string) Schema {
	properties := Schema{}
	for _, name := range names {
		properties[name] = Schema{"not": Schema{"enum": []any{nil, ""}}}
	}
	return Schema{"required": names, "properties": properties}
}

// inside says something of a member, if that is there.
func inside(name string, s Schema) Schema { return Schema{"properties": Schema{name: s}} }

// within says that a member is there, and something of it.
func within(name string, s Schema) Schema { return both(needs(name), inside(name, s)) }

func both(all ...Schema) Schema {
	if len(all) == 1 {
		return all[0]
	}
	return Schema{"allOf": all}
}

func either(any ...Schema) Schema {
	if len(any) == 1 {
		return any[0]
	}
	return Schema{"anyOf": any}
}

// asker finds out what a member may be by asking the decoder.
type asker struct{ decoder *Decoder }

// newAsker returns one whose decoder looks at the member alone: not at what personal
// data says, nor at what the default source would call for.
func newAsker(rules Rules) *asker {
	rules.HashPersonalData, rules.DefaultActionSource = false, ""
	return &asker{NewDecoder(rules)}
}

func (a *asker) properties(path []string, known schema) Schema {
	properties := Schema{}
	for name, f := range known {
		properties[name] = a.member(append(slices.Clone(path), name), f)
	}
	return properties
}

// element stands in a path for an element of a list.
const element = "[]"

// member says what a member may be. null is as good as absent, everywhere.
func (a *asker) member(path []string, f *field) Schema {
	switch {
	case f.name == "messaging_channel":
		return Schema{} // looked at in chats only
	case f.name == "extinfo":
		return Schema{"type": []string{"array", "null"}, "minItems": extinfoSlots, "maxItems": extinfoSlots}
	case f.members != nil:
		return Schema{"type": []string{"object", "null"}, "properties": a.properties(path, f.members)}
	case f.elements != nil:
		return Schema{"type": []string{"array", "null"}, "items": a.member(append(slices.Clone(path), element), f.elements)}
	case slices.Contains(customer.Fields(), customer.Field(f.name)):
		items := a.scalar(append(slices.Clone(path), element), f)
		return Schema{"anyOf": []Schema{a.scalar(path, f), {"type": "array", "items": items}}}
	default:
		return a.scalar(path, f)
	}
}

// scalar says what a member may be that is neither object nor list.
func (a *asker) scalar(path []string, f *field) Schema {
	should := f.kind.Should
	takes := func(value string) bool { return a.takes(path, value) }
	options := slices.Concat([]Schema{{"type": "null"}}, numbers(takes), texts(takes, should))
	if takes("true") && takes("false") {
		options = append(options, Schema{"type": "boolean"})
	}
	made := Schema{"anyOf": options}
	if should != "" {
		made["description"] = should
	}
	return made
}

const fifteenDigits = "123456789012345"

func numbers(takes func(string) bool) []Schema {
	switch {
	case takes("1.5"):
		return []Schema{{"type": "number"}}
	case takes("-7"):
		return []Schema{{"type": "integer"}}
	case takes("7") || takes(fifteenDigits):
		return []Schema{{"type": "integer", "minimum": 0}}
	}
	var listed []json.Number
	for _, number := range []string{"0", "1", "1000"} {
		if takes(number) {
			listed = append(listed, json.Number(number))
		}
	}
	if listed == nil {
		return nil
	}
	return []Schema{{"enum": listed}}
}

var quotedWord = regexp.MustCompile(`"([^"]*)"`)

func texts(takes func(string) bool, should string) (options []Schema) {
	if takes(`"anyText"`) || takes(`"https://shop.example/a"`) || takes(`"203.0.113.7"`) {
		return []Schema{{"type": "string"}}
	}
	words := []string{""}
	for _, word := range quotedWord.FindAllStringSubmatch(should, -1) {
		words = append(words, word[1])
	}
	words = slices.DeleteFunc(words, func(word string) bool { return !takes(`"` + word + `"`) })
	if len(words) > 0 {
		options = append(options, Schema{"enum": words})
	}
	for _, forms := range textForms() {
		for _, form := range forms {
			if slices.ContainsFunc(form.examples, func(text string) bool { return takes(`"` + text + `"`) }) {
				options = append(options, Schema{"type": "string", "pattern": form.pattern})
				break
			}
		}
	}
	return options
}

// textForm is a form that a member's text may have, if the member takes one of these.
type textForm struct {
	pattern  string
	examples []string
}

// textForms are forms of texts. Of those that belong together the widest comes
// first, and includes the others.
func textForms() [][]textForm {
	// What may stand around a text is white space of any kind. \s is not the same
	// everywhere, so it is whatever is no printable ASCII.
	const around = "[^!-~]*"
	whole := func(text string) string { return "^" + around + text + around + "$" }
	return [][]textForm{
		{{"^.{3}$", []string{"USD"}}},
		{{"^" + around + `\d{4}-`, []string{"2026-11-24T09:00:00+01:00"}}},
		{{whole("([Tt][Rr][Uu][Ee]|[Ff][Aa][Ll][Ss][Ee])"), []string{" TRUE "}}},
		{
			{"^" + around + `-?\d`, []string{"1.5"}},
			{whole(`-?\d+(\.0*)?`), []string{"-7"}},
			{whole(`\d+(\.0*)?`), []string{"7", fifteenDigits}},
			{whole(`(0|1|1000)(\.0*)?`), []string{"0"}},
		},
	}
}

// takes reports whether the decoder finds no fault with a value in its place.
func (a *asker) takes(path []string, value string) bool {
	pointer := strings.ReplaceAll("/"+strings.Join(path, "/"), element, "0")
	for _, name := range slices.Backward(path) {
		if name == element {
			value = "[" + value + "]"
		} else {
			value = `{"` + name + `":` + value + "}"
		}
	}
	request, err := a.decoder.Decode([]byte(value))
	if err != nil {
		return false
	}
	return !slices.ContainsFunc(request.Events[0].Faults, func(f Fault) bool {
		return f.Pointer == pointer || strings.HasPrefix(f.Pointer, pointer+"/")
	})
}
