// Package exit says by a code how a verb has ended.
package exit

import "errors"

// The codes.
const (
	Failed     = 1
	WrongUsage = 2 // or a wrong configuration
	PartlyDone = 3 // some input was refused
)

// usageError is the caller's mistake: wrong arguments or a wrong configuration.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

// Usage makes an error the caller's mistake.
func Usage(err error) error { return usageError{err} }

// ErrPartial says that the work is done, but for some input that was refused.
// What was refused has been said already.
var ErrPartial = errors.New("some input was refused")

// PartialIf returns [ErrPartial] if something was refused.
func PartialIf(refused bool) error {
	if refused {
		return ErrPartial
	}
	return nil
}

// Code returns the code for what a verb has returned.
func Code(err error) int {
	var usage usageError
	switch {
	case err == nil:
		return 0
	case errors.Is(err, ErrPartial):
		return PartlyDone
	case errors.As(err, &usage):
		return WrongUsage
	default:
		return Failed
	}
}
