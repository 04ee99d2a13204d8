package rules

import (
	"fmt"
	"strings"
)

// Error is the error object of a Graph answer, in Graph's own spelling.
type Error struct {
	Message     string `json:"message"`
	Type        string `json:"type"`
	Code        int    `json:"code"`
	Subcode     int    `json:"error_subcode,omitempty"`
	Transient   bool   `json:"is_transient"`
	UserTitle   string `json:"error_user_title,omitempty"`
	UserMessage string `json:"error_user_msg,omitempty"`
	TraceID     string `json:"fbtrace_id"`

	// Status is the HTTP status; 0 is 400.
	Status int `json:"-"`
}

// The texts below are Meta's own, as users have published them.

// Invalid is the answer to what cannot be read at all.
func Invalid(message string) *Error {
	return &Error{Message: message, Type: "OAuthException", Code: 100}
}

// badEvent is the answer to a request with a faulty event. It does not say
// which one.
func badEvent(subcode int, title, message string) *Error {
	return &Error{
		Message: "Invalid parameter", Type: "OAuthException", Code: 100,
		Subcode: subcode, UserTitle: title, UserMessage: message,
	}
}

// required is the answer to what Meta cannot do without: not there, or not
// readable.
func required(path ...string) *Error { return badParameter("is required", path...) }

// firstEvent is how the live API names the first event of a request.
const firstEvent = "$['data'][0]"

// badParameter is the answer that names the culprit: the live API has been seen
// to say "$['data'][0]['custom_data']['contents'] must be an array". That it
// counts the events so, too, beyond the first, nobody has published.
func badParameter(words string, path ...string) *Error {
	return badEvent(2804019, "Server Side Api Parameter Error", firstEvent+"['"+strings.Join(path, "']['")+"'] "+words)
}

// Within is the error as the answer to a request in which that many events come
// before the culprit.
func (e *Error) Within(before int) *Error {
	if before > 0 {
		e.UserMessage = strings.Replace(e.UserMessage, firstEvent, fmt.Sprintf("$['data'][%d]", before), 1)
	}
	return e
}

// misshapen is the answer to a member of a wrong type or value. No subcodes
// are known for it.
func misshapen(field, words string) *Error {
	return Invalid("(#100) Param " + field + " must be " + words)
}

func inFuture() *Error {
	return badEvent(2804004, "Event Timestamp In The Future", "The timestamp for this event is in the future.")
}

func tooOld() *Error {
	return badEvent(2804003, "Event Timestamp Too Old",
		"The timestamp for this event is too far in the past. Events need to be sent from your server within 7 days of when they occurred. "+
			"Enter a timestamp that has occurred within the last 7 days.")
}
