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

	"github.com/capi-dispatcher/capi-dispatcher/cmd/internal/exit"
	"github.com/capi-dispatcher/capi-dispatcher/cmd/internal/terminal"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	go func() {
		<-ctx.Done()
		stop() // a second signal ends the process at once
	}()
	os.Exit(exitCode(newRoot().ExecuteContext(ctx)))
}

// exitCode returns the code for what a verb has returned, and prints what has not
// been said yet.
func exitCode(err error) int {
	if err != nil && !errors.Is(err, exit.ErrPartial) {
		fmt.Fprintln(terminal.Writer(os.Stderr), err)
	}
	return exit.Code(err)
}
