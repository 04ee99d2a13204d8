// Command capi-dispatcher carries conversion events from NATS JetStream to
// Meta's Conversions API. `capi-dispatcher --help` lists its verbs.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/capi-dispatcher/capi-dispatcher/cmd/internal/terminal"
)

// Exit codes.
const (
	exitFailed  = 1
	exitUsage   = 2 // wrong usage or configuration
	exitPartial = 3 // done, but some input was refused
)

// usageError is the caller's mistake: wrong arguments or a wrong configuration.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

// errPartial says that the work is done, but for some input that was refused.
// What was refused has been said already.
var errPartial = errors.New("some input was refused")

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	go func() {
		<-ctx.Done()
		stop() // a second signal ends the process at once
	}()
	os.Exit(exitCode(newRoot().ExecuteContext(ctx)))
}

func exitCode(err error) int {
	var usage usageError
	switch {
	case err == nil:
		return 0
	case errors.Is(err, errPartial):
		return exitPartial
	case errors.As(err, &usage):
		fmt.Fprintln(terminal.Writer(os.Stderr), err)
		return exitUsage
	default:
		fmt.Fprintln(terminal.Writer(os.Stderr), err)
		return exitFailed
	}
}
