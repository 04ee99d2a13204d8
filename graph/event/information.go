package event

import (
	"bytes"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/capi-dispatcher/capi-dispatcher/graph/event/rawjson"
)

// information is what an event says of the customer, a bit each.
type information uint16

const (
	saysCity information = 1 << iota
	saysCountry
	saysState
	saysPostCode
	saysGender
	saysUserAgent
	saysBirthday
	saysFirstName
	saysLastName
	saysMore // anything else, what Meta has not documented included
)

// inform notes a member of user_data, unless it is null or empty, or holds
// nothing else.
func (p *parser) inform(name []byte, value jsontext.Value) {
	if said := bytes.Trim(value, `[]{}",`+rawjson.Space); len(said) > 0 && string(said) != "null" {
		p.informed |= says(name)
	}
}

func says(name []byte) information {
	switch string(name) {
	case "ct":
		return saysCity
	case "country":
		return saysCountry
	case "st":
		return saysState
	case "zp":
		return saysPostCode
	case "ge":
		return saysGender
	case "client_user_agent":
		return saysUserAgent
	case "db":
		return saysBirthday
	case "fn":
		return saysFirstName
	case "ln":
		return saysLastName
	default:
		return saysMore
	}
}

// tooBroad reports whether what is said fits too many people to match one. Source:
// Meta, best practices for the Conversions API, baseline requirements for
// matching (from Graph API v13.0 on).
func (i information) tooBroad() bool {
	for _, broad := range [...]information{
		saysCity | saysCountry | saysState | saysPostCode | saysGender | saysUserAgent,
		saysBirthday | saysUserAgent,
		saysFirstName | saysGender,
		saysLastName | saysGender,
	} {
		if i&^broad == 0 {
			return true
		}
	}
	return false
}
