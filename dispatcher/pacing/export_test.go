package pacing

// Rows returns how many rows of datasets are remembered.
func (p *Pacer) Rows() int { return len(p.next) }
