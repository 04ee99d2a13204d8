package parked

import (
	"sync"
	"time"
)

const (
	// lately is how long it takes until events may have to be woken again
	// because one of them got through: another worker may have parked more.
	lately = 10 * time.Second
	// mostRemembered bounds of how many groups it is remembered when they were
	// asked for: producers can make datasets up.
	mostRemembered = 10_000
)

// requests are the groups that are to be woken.
type requests struct {
	added chan struct{}

	mu     sync.Mutex
	wanted map[Group]struct{}
	asked  map[Group]time.Time // when each was last asked for
}

func newRequests() *requests {
	return &requests{added: make(chan struct{}, 1), wanted: make(map[Group]struct{}), asked: make(map[Group]time.Time)}
}

func (r *requests) add(group Group) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.asked) >= mostRemembered {
		clear(r.asked)
	}
	r.asked[group] = time.Now()
	r.wanted[group] = struct{}{}
	select {
	case r.added <- struct{}{}:
	default:
	}
}

// lastAsked returns when a group was last asked for, and whether it ever was.
func (r *requests) lastAsked(group Group) (at time.Time, ever bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	at, ever = r.asked[group]
	return at, ever
}

func (r *requests) takeAll() (all []Group) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for group := range r.wanted {
		all = append(all, group)
	}
	clear(r.wanted)
	return all
}
