package parked

import (
	"slices"

	"github.com/nats-io/nats.go"

	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/header"
)

// Reason says why an event is parked. The header Capi-Reason holds it, and other
// versions read it there: the words are for good.
type Reason string

// The reasons. "" is one that another version knows.
const (
	Paused    Reason = "paused"     // the dataset is in trouble
	Throttled Reason = "throttled"  // Meta, or a limit that is near, asks to wait
	Failing   Reason = "retry"      // it did not work for too long
	Unknown   Reason = "unknown"    // it is not known whether it did
	Refused   Reason = "refused"    // every event of the dataset is refused
	Congested Reason = "congested"  // the dataset does not keep up
	Unlinked  Reason = "unlinked"   // the account is not linked to the dataset
	NotYet    Reason = "not_yet"    // the event comes from a fast clock
	NoAnswer  Reason = "no_answer"  // the dataset is not known yet
	NoWebhook Reason = "no_webhook" // no webhook has told of the person yet
)

// Reasons lists every reason.
func Reasons() []Reason {
	return []Reason{Paused, Throttled, Failing, Unknown, Refused, Congested, Unlinked, NotYet, NoAnswer, NoWebhook}
}

// reasonOf reads the reason of a parked event.
func reasonOf(headers nats.Header) Reason {
	if reason := Reason(headers.Get(header.Reason)); slices.Contains(Reasons(), reason) {
		return reason
	}
	return ""
}

// Group is events that wait for the same, and are woken together.
type Group struct {
	Dataset string
	// Unlinked: the events of accounts that were not linked, else those that
	// waited for the dataset.
	Unlinked bool
}

// Covers reports whether an event of the dataset that was parked for this reason
// belongs to the group. What waits for its own time belongs to none.
func (g Group) Covers(reason Reason) bool {
	switch reason {
	case Paused, Throttled, Failing, Unknown, Refused, Congested:
		return !g.Unlinked
	case Unlinked:
		return g.Unlinked
	case NotYet, NoAnswer, NoWebhook:
		return false
	default:
		return false
	}
}
