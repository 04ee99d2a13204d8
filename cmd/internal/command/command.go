// Package command is what every command of this repository does around its work: it
// ends on a signal, prints what has gone wrong, and says by a code how it ended.
package command

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/capi-dispatcher/capi-dispatcher/cmd/internal/exit"
	"github.com/capi-dispatcher/capi-dispatcher/cmd/internal/terminal"
)

// Run runs a command, and returns the process' exit code. A first SIGINT or SIGTERM
// ends the command's context, a second one the process.
func Run(root *cobra.Command) (code int) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	go func() {
		<-ctx.Done()
		stop()
	}()
	return ExitCode(root.ExecuteContext(ctx))
}

// ExitCode returns the code for what a command has returned, and prints what has
// not been said yet.
func ExitCode(err error) (code int) {
	if err != nil && !errors.Is(err, exit.ErrPartial) {
		text := err.Error()
		if errors.Is(err, context.Canceled) { // only a signal ends the context
			text = strings.ReplaceAll(text, context.Canceled.Error(), "interrupted")
		}
		fmt.Fprintln(terminal.Writer(os.Stderr), text)
	}
	return exit.Code(err)
}
