package streams

import (
	"fmt"
	"slices"
	"strings"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/capi-dispatcher/capi-dispatcher/graph/event"
)

// check makes sure that a stream can be used, and lists what about it works, but
// is not as it should be.
func (d *definition) check(have jetstream.StreamConfig) (warnings []string, err error) {
	if err := d.misfit(have); err != nil {
		return nil, err
	}
	return slices.Concat(d.risks(have), d.retention(have)), nil
}

// misfit says why a stream cannot be used at all.
func (d *definition) misfit(have jetstream.StreamConfig) error {
	if !Covers(have.Subjects, d.Subjects[0]) {
		return setupError("stream %s has the subjects %q, which do not include %q", d.Name, have.Subjects, d.Subjects[0])
	}
	if d.AllowMsgSchedules && !have.AllowMsgSchedules {
		return setupError("stream %s does not allow message schedules; run: nats stream edit %s --allow-schedules", d.Name, d.Name)
	}
	return nil
}

// risks lists what a stream's settings may cost: what works, but may lose
// events or refuse them.
func (d *definition) risks(have jetstream.StreamConfig) (risks []string) {
	risk := func(is bool, format string, args ...any) {
		if is {
			risks = append(risks, fmt.Sprintf(format, args...))
		}
	}
	risk(have.Storage == jetstream.MemoryStorage, "stream %s is kept in memory: a restart of NATS loses what is in it",
		d.Name)
	risk(d.role != DeadLetters && have.MaxAge != 0 && have.MaxAge < event.MaxAge,
		"stream %s keeps messages for %s only: Meta takes events for 7 days, and older ones vanish before they are sent", d.Name, have.MaxAge)
	risk(d.role == Events && have.Duplicates > leastWindow,
		"stream %s remembers each Nats-Msg-Id for %s, in one name space for all datasets: an event is dropped, with success to its producer, "+
			"if another dataset's had the same id; copies are recognised without it; run: nats stream edit %s --dupe-window %s",
		d.Name, have.Duplicates, d.Name, leastWindow)
	risk(forgets(have), "stream %s discards its oldest messages when it is full: a backlog loses events; use discard new", d.Name)
	risk(have.MaxMsgs > 0 && have.Discard == jetstream.DiscardNew,
		"stream %s takes %d messages at most, whether they are done with or not, and refuses more: nobody makes room, as with a limit in bytes; "+
			"run: nats stream edit %s --max-msgs=-1", d.Name, have.MaxMsgs, d.Name)
	return risks
}

// forgets reports whether a stream discards messages to make room for others. A
// limit for each subject does, whatever is to be discarded, unless that is said
// for subjects, too.
func forgets(c jetstream.StreamConfig) bool {
	return c.Discard == jetstream.DiscardOld && (c.MaxMsgs > 0 || c.MaxBytes > 0) ||
		c.MaxMsgsPerSubject > 0 && !c.DiscardNewPerSubject
}

// Covers reports whether one of the subjects includes every subject that the
// wanted one, which ends in >, does.
func Covers(subjects []string, wanted string) bool {
	return slices.ContainsFunc(subjects, func(subject string) bool {
		return covers(strings.Split(subject, "."), strings.Split(wanted, "."))
	})
}

func covers(subject, wanted []string) bool {
	for i, word := range wanted {
		switch {
		case i >= len(subject):
			return false
		case subject[i] == ">":
			return true
		case word == ">" || subject[i] != "*" && subject[i] != word:
			return false
		}
	}
	return len(subject) == len(wanted)
}
