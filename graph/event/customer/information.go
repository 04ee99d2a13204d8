package customer

// Information is what an event says of the customer, a bit each.
type Information uint16

const (
	saysCity Information = 1 << iota
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

// Says returns what a member of user_data says of the customer by its name.
func Says(name []byte) Information {
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

// TooBroad reports whether what is said fits too many people to match one. Source:
// Meta, best practices for the Conversions API, baseline requirements for
// matching (from Graph API v13.0 on).
func (i Information) TooBroad() bool {
	for _, broad := range [...]Information{
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
