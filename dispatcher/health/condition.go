// Package health says what has to hold for events to flow, and lets others wait
// until it does.
//
// A [Gate] is safe for concurrent use.
package health

import "time"

// Condition is one thing that has to hold for events to flow.
type Condition struct {
	Name string `json:"name"`
	OK   bool   `json:"ok"`
	// Warning: events flow all the same. It is something for a person to look
	// at, and no reason to take the worker out.
	Warning bool `json:"warning,omitempty"`
	// Reason says what is wrong, or that it has not been tried yet.
	Reason string `json:"reason,omitempty"`
	// Since is when it began to be as it is, if known.
	Since time.Time `json:"since,omitzero"`
}

// Blocks reports whether events do not flow because of it.
func (c Condition) Blocks() bool { return !c.OK && !c.Warning }
