package parked

import (
	"container/heap"
	"time"
)

// run is the waking of a group, under way.
type run struct {
	Group

	from, last uint64 // sequence numbers: where to go on, and where to end; 0 at first
	asked      time.Time
	next       time.Time
	place      int  // among the runs
	failures   int  // in a row
	final      bool // it looks for those only that were parked meanwhile
}

// runs are the groups that are being woken, the one whose turn is next first:
// there may be one for each of ten thousand datasets.
type runs struct {
	byTurn turns
	of     map[Group]*run
}

func newRuns() *runs { return &runs{of: make(map[Group]*run)} }

// begin begins with a group, from the start if it is under way.
func (r *runs) begin(group Group) {
	if r.of[group] != nil {
		r.end(r.of[group])
	}
	now := time.Now()
	r.of[group] = &run{Group: group, asked: now, next: now}
	heap.Push(&r.byTurn, r.of[group])
}

// end ends a run.
func (r *runs) end(ended *run) {
	heap.Remove(&r.byTurn, ended.place)
	delete(r.of, ended.Group)
}

// first returns the run whose turn is next; nil if there is none.
func (r *runs) first() *run {
	if len(r.byTurn) == 0 {
		return nil
	}
	return r.byTurn[0]
}

// untilNext returns how long it is until somebody's turn.
func (r *runs) untilNext() time.Duration {
	if first := r.first(); first != nil {
		return time.Until(first.next)
	}
	return time.Hour
}

// putOff gives a run another turn.
func (r *runs) putOff(later *run, wait time.Duration) {
	later.next = time.Now().Add(wait)
	heap.Fix(&r.byTurn, later.place)
}

// turns is a heap of runs.
type turns []*run

func (t turns) Len() int           { return len(t) }
func (t turns) Less(i, j int) bool { return t[i].next.Before(t[j].next) }

func (t turns) Swap(i, j int) {
	t[i], t[j] = t[j], t[i]
	t[i].place, t[j].place = i, j
}

// Push and Pop are for package heap.
func (t *turns) Push(x any) {
	r, _ := x.(*run)
	r.place = len(*t)
	*t = append(*t, r)
}

func (t *turns) Pop() any {
	last := (*t)[len(*t)-1]
	*t = (*t)[:len(*t)-1]
	return last
}
