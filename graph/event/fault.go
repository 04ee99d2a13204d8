package event

import (
	"encoding/json"
	"fmt"

	"github.com/capi-dispatcher/capi-dispatcher/graph/event/scalar"
)

// Code names a kind of fault. Codes are stable: dashboards and scripts may
// rely on them, while the sentences beside them may be reworded.
type Code string

// The codes of the faults that this package finds.
const (
	Missing         Code = "missing"                 // a required member is absent
	Empty           Code = Code(scalar.Empty)        // a required member is there but empty
	WrongType       Code = Code(scalar.WrongType)    // another JSON type was expected
	WrongLength     Code = "wrong_length"            // a list has too few or too many elements
	BadFormat       Code = Code(scalar.BadFormat)    // the value does not look like one of its kind
	UnknownValue    Code = Code(scalar.UnknownValue) // the value is not in a closed list
	NotAllowed      Code = "not_allowed"             // the member must not be there
	Insufficient    Code = "insufficient"            // too little is known of the customer
	NotNormalizable Code = "not_normalizable"        // personal data that cannot be hashed
	TooOld          Code = "too_old"                 // Meta no longer accepts the event
	InFuture        Code = "in_future"               // event_time has not come yet
	NotSeconds      Code = "not_seconds"             // event_time looks like milliseconds
	TooManyEvents   Code = "too_many_events"         // a request body holds over MaxEvents
	MoreFaults      Code = "more_faults"             // there are more than MaxFaults; the message says how many
)

// MaxFaults is how many faults of an event are described. An event of some
// kilobytes can have thousands, and nobody reads them all; those beyond are
// only counted, in one last fault of code [MoreFaults].
const MaxFaults = 50

// Fault is one reason why Meta would refuse an event.
type Fault struct {
	// Pointer is a JSON pointer (RFC 6901) from the event to the culprit.
	Pointer string `json:"pointer"`
	// Code names the kind of fault.
	Code Code `json:"code"`
	// Subcode is the error_subcode, of Graph's code 100, that Meta would
	// have answered with; 0 where nobody knows.
	Subcode int `json:"subcode,omitempty"`
	// Message says to a person what is wrong and what was expected. It
	// never quotes personal data.
	Message string `json:"message"`
}

// MoreThan stands for a number of faults that are not described.
func MoreThan(left int) Fault {
	return Fault{Code: MoreFaults, Message: fmt.Sprintf("… %d more faults", left)}
}

// MarshalFaults renders faults as one line of JSON, for a header or a log.
func MarshalFaults(faults []Fault) string {
	line, err := json.Marshal(faults)
	if err != nil { // unreachable: a Fault is three strings
		return "[]"
	}
	return string(line)
}
