package graph

// Verdict says what became of a request, and so what may be done next.
type Verdict uint8

// The verdicts. The zero value is Unknown: whatever nobody has judged may
// have been processed.
const (
	Unknown Verdict = iota
	Accepted
	Retry
	Throttled
	Paused
	Refused
)

// Verdicts lists every verdict, for metrics that are to exist from the start.
func Verdicts() []Verdict {
	return []Verdict{Unknown, Accepted, Retry, Throttled, Paused, Refused}
}

func (v Verdict) String() string {
	return [...]string{"unknown", "accepted", "retry", "throttled", "paused", "refused"}[v]
}
