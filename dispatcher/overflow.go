package dispatcher

import (
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/parked"
)

// A dataset that does not keep up, or whose backlog is in others' way, has its
// events parked, so that there is room for others. They are called back as fast
// as the dataset takes them (see wake.go), once there is room again.

// backlog is how many messages wait in the consumers, as of the last pull.
type backlog struct{ events, parked atomic.Int64 }

// behind returns how many messages wait for room; 0 while there is enough.
func (d *Dispatcher) behind() int {
	if !d.budget.Short() {
		return 0
	}
	return int(d.backlog.events.Load() + d.backlog.parked.Load())
}

// overflow parks events of a lane that has too many waiting.
func (d *Dispatcher) overflow(lane lane, entries []*entry) {
	if events, datasets := d.moved.add(lane.dataset, len(entries), time.Now()); events > 0 {
		d.log.Warn("events are parked to make room for others, and come back when their datasets take them",
			zap.Int("events", events), zap.Int("datasets", datasets), zap.String("dataset", lane.dataset))
	}
	d.park(d.stillOurs(entries), parked.Congested)
	d.waker.Wake(parked.Group{Dataset: lane.dataset})
}

// moved sums up what overflow moves aside, for one line in the log now and then.
type moved struct {
	mu       sync.Mutex
	next     time.Time
	events   int
	datasets map[string]struct{}
}

// add counts events, and returns what there has been since the last time that it
// did; nothing if that is not long ago.
func (m *moved) add(dataset string, n int, now time.Time) (events, datasets int) {
	const every = 10 * time.Second
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.datasets == nil {
		m.datasets = make(map[string]struct{})
	}
	m.events += n
	m.datasets[dataset] = struct{}{}
	if now.Before(m.next) {
		return 0, 0
	}
	events, datasets = m.events, len(m.datasets)
	m.events, m.next = 0, now.Add(every)
	clear(m.datasets)
	return events, datasets
}
