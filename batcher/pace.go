package batcher

import "time"

// pace is how fast one sender gets a lane's items done, as far as is known.
type pace struct {
	perSecond float64   // 0: no batch has come back yet
	last      time.Time // when one came back, or the first left
}

// begin is told that a batch leaves, and none is in flight.
func (p *pace) begin(now time.Time) { p.last = now }

// note is told of a batch that has come back.
func (p *pace) note(items int, took time.Duration, now time.Time) {
	const weight = 0.3 // of the latest batch
	latest := perSecond(items, took)
	if p.perSecond == 0 {
		p.perSecond = latest
	} else {
		p.perSecond += weight * (latest - p.perSecond)
	}
	p.last = now
}

// at is the pace now, with batches of that many items in flight: while none comes
// back, it is less and less.
func (p *pace) at(now time.Time, items int) float64 {
	slowest := perSecond(items, now.Sub(p.last))
	if p.perSecond == 0 {
		return slowest
	}
	return min(p.perSecond, slowest)
}

func perSecond(items int, took time.Duration) float64 {
	return float64(items) / max(took, time.Millisecond).Seconds()
}
