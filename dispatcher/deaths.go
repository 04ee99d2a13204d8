package dispatcher

import (
	"crypto/sha256"
	"encoding/hex"
	"time"

	"go.uber.org/zap"

	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/deadletter"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/notices"
)

// Nobody reads dead letters who does not know that there are some: a line in the
// log says so, once a minute for each dataset and reason.

const (
	deathsEvery = time.Minute
	deathKinds  = 1000
)

// death is what dead letters have in common.
type death struct {
	dataset string
	reason  deadletter.Reason
}

// firstDeath is what is told of the first of them: no value of the event's but
// its id, and nothing that Meta says, for that may quote values.
type firstDeath struct {
	event         string
	pointer, code string // of its first fault
	graph         *deadletter.GraphError
	number        uint64 // of the letter, if it is stored
}

// noteDeaths counts the events of new letters: those that are stored, or at least
// safely on their way.
func (d *Dispatcher) noteDeaths(publications []*publication, stored bool) {
	for _, p := range publications {
		if p.For.entries[0].letter != nil {
			continue // it was told of before
		}
		d.deaths.Add(death{p.For.letter.Dataset, p.For.letter.Reason}, len(p.For.entries), func() firstDeath {
			first := firstDeath{event: d.showable(p.For.entries[0].event.ID), graph: p.For.letter.Graph}
			if len(p.For.letter.Faults) > 0 {
				first.pointer, first.code = shortID(p.For.letter.Faults[0].Pointer), string(p.For.letter.Faults[0].Code)
			}
			if stored {
				first.number = p.Number
			}
			return first
		})
	}
}

// showable is an event's id as the log may have it: where personal data is to be
// hashed, nobody knows whether it is some.
func (d *Dispatcher) showable(id string) string {
	if id == "" || !d.cfg.Rules.HashPersonalData {
		return shortID(id)
	}
	sum := sha256.Sum256([]byte(id))
	return "sha256-" + hex.EncodeToString(sum[:])
}

func (d *Dispatcher) tellDeaths(lines []notices.Line[death, firstDeath]) {
	for _, line := range lines {
		first := line.First
		fields := []zap.Field{zap.Int("events", line.Count), zap.String("dataset", line.Kind.dataset), zap.String("reason", string(line.Kind.reason))}
		if line.Others {
			fields = append(fields, zap.Bool("and_others", true))
		}
		if first.event != "" {
			fields = append(fields, zap.String("first_event_id", first.event))
		}
		if first.code != "" {
			fields = append(fields, zap.String("first_fault", first.code), zap.String("first_fault_at", first.pointer))
		}
		if first.graph != nil {
			fields = append(fields, zap.Int("code", first.graph.Code), zap.Int("subcode", first.graph.Subcode))
		}
		if first.number != 0 {
			fields = append(fields, zap.Uint64("first_letter", first.number))
		}
		d.log.Warn("events are dead letters", fields...)
	}
}
