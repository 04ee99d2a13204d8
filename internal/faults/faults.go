// Package faults gathers what is wrong with a configuration, so that all of it is
// reported at once.
package faults

import (
	"errors"
	"fmt"
)

// List is what is wrong. The zero value is nothing yet.
type List []error

// Check adds a fault of a key, unless ok.
func (l *List) Check(ok bool, key, format string, args ...any) {
	if !ok {
		*l = append(*l, fmt.Errorf("%s: "+format, append([]any{key}, args...)...))
	}
}

// Join returns all faults as one error; nil if there are none.
func (l List) Join() error { return errors.Join(l...) }
