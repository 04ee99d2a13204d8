package parked

import (
	"cmp"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// Subjects are those of the parked stream: what they all begin with. To whom an
// event comes back is a dataset, or another word that stands for one.
type Subjects string

// Wait returns where one event waits. The subject identifies the schedule.
func (s Subjects) Wait(to, id string) string { return s.waitRoot() + to + "." + id }

// Due returns where a dataset's events come back.
func (s Subjects) Due(to string) string { return string(s) + ".due." + to }

// Schedule makes the server bring a message back, at a time on its clock.
func (s Subjects) Schedule(to string, at time.Time) []jetstream.PublishOpt {
	return []jetstream.PublishOpt{jetstream.WithScheduleAt(at), jetstream.WithScheduleTarget(s.Due(to))}
}

// waitRoot is what the subjects of all events begin with that wait.
func (s Subjects) waitRoot() string { return string(s) + ".wait." }

// waiting is where a dataset's events wait, or all events.
func (s Subjects) waiting(dataset string) string { return s.waitRoot() + cmp.Or(dataset, "*") + ".>" }

// destination is to whom an event on this subject comes back.
func (s Subjects) destination(subject string) string {
	destination, _, _ := strings.Cut(strings.TrimPrefix(subject, s.waitRoot()), ".")
	return destination
}
