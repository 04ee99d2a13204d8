package breaker

import "slices"

// Permit is the right to send a batch for a dataset. It has to be released. A nil
// Permit is none: it probes nothing, and releasing it does nothing.
type Permit struct {
	breaker *Breaker
	probed  []key
}

// Probes reports whether the dataset or its app was in trouble, so that this batch
// finds out whether it still is.
func (p *Permit) Probes() bool { return p != nil && len(p.probed) > 0 }

// covers reports whether it is the permit that probes a circuit.
func (p *Permit) covers(k key) bool { return p != nil && slices.Contains(p.probed, k) }

// Release gives the permit back, so that another batch may probe.
func (p *Permit) Release() {
	if !p.Probes() {
		return
	}
	p.breaker.mu.Lock()
	defer p.breaker.mu.Unlock()
	for _, k := range p.probed {
		if c := p.breaker.circuits[k]; c != nil {
			c.probing = false
		}
	}
}
