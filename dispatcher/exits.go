package dispatcher

import (
	"github.com/capi-dispatcher/capi-dispatcher/batcher"
)

// exit is a way out that does not lead to Meta.
type exit uint8

const (
	exitDead exit = iota
	exitParked
)

// exit is the entry on its way out.
func (e *entry) exit(by exit) batcher.Item[exit, *entry] {
	return batcher.Item[exit, *entry]{Lane: by, Value: e, Size: len(e.event.Raw)}
}

// leave carries a batch of events out. They never had a claim.
func (d *Dispatcher) leave(batch *batcher.Batch[exit, *entry]) {
	switch batch.Lane {
	case exitDead:
		d.bury(batch.Items)
	case exitParked:
		d.park(batch.Items, parkedNotYet)
	}
}
