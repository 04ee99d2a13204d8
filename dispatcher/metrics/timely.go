package metrics

import (
	"context"
	"time"

	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/deadletter"
	"github.com/capi-dispatcher/capi-dispatcher/graph/event"
)

// Timeliness is how an event fares against the hour within which Meta wants it.
type Timeliness string

// Each event that matters is one of these once.
const (
	InTime        Timeliness = "in_time"        // accepted within an hour of its time
	Late          Timeliness = "late"           // published within it, and accepted after it, or still waiting then; or lost
	PublishedLate Timeliness = "published_late" // published after it
)

// TimelinessOf returns how an event fares that was published then and ends now; ""
// where Meta does not mind.
func TimelinessOf(e *event.Event, published, now time.Time) Timeliness {
	late := e.LateAt()
	switch {
	case late.IsZero():
		return ""
	case published.After(late):
		return PublishedLate
	case now.After(late):
		return Late
	default:
		return InTime
	}
}

// Tally is how many events fared how. The zero value is none.
type Tally struct{ inTime, late, publishedLate int }

// Note adds an event; "" is none.
func (t *Tally) Note(result Timeliness) {
	switch result {
	case InTime:
		t.inTime++
	case Late:
		t.late++
	case PublishedLate:
		t.publishedLate++
	}
}

// Timely counts events by how they fared.
func (m *Meters) Timely(t *Tally) {
	m.fared(InTime, t.inTime)
	m.fared(Late, t.late)
	m.fared(PublishedLate, t.publishedLate)
}

func (m *Meters) fared(result Timeliness, events int) {
	if events > 0 {
		m.timely.Add(context.Background(), int64(events), m.closed.timely[result])
	}
}

// lostReasons are those of dead letters that are no fault of their events'.
func lostReasons() []deadletter.Reason {
	return []deadletter.Reason{deadletter.Expired, deadletter.Unlinked, deadletter.UnknownOutcome}
}

// Lost counts an event that becomes a dead letter for that reason, if that is no
// fault of its own, and reports whether it is lost by that. One that was too old
// when it was published is its producer's.
func (m *Meters) Lost(reason deadletter.Reason, e *event.Event, published time.Time) (lost bool) {
	option, lost := m.closed.lost[reason]
	if !lost || published.After(e.ExpiresAt()) {
		return false
	}
	m.lost.Add(context.Background(), 1, option)
	return true
}
