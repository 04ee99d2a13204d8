// Command bench measures the whole thing, end to end, on this machine: a real
// nats-server with its streams on disk, a real redis-server, the worker as it is
// shipped, and a receiver in Meta's place, each a process of its own.
//
//	go run ./cmd/bench           a minute
//	go run ./cmd/bench traces    what spans cost, in interleaved rounds; some minutes
//	go run ./cmd/bench --short   some seconds: shows that it works, its figures mean nothing
//	go run ./cmd/bench growth    some minutes: what an event costs as the work grows
//	go run ./cmd/bench scale     some minutes: several workers, and clusters
//	go run ./cmd/bench traces    some minutes: what spans cost, in interleaved rounds
//
// It prints how many events a second the worker carries off a backlog, with few
// datasets and with many; what an event costs in each process; and how long an
// event takes from its publisher to the receiver at a steady rate. Beside the
// worker it measures the ceiling: the same servers and the same events, but only
// the client libraries between them, which pull, claim, post, confirm and
// acknowledge and look at no event. What the worker does beyond that is the
// difference. Figures compare within one run only, on a machine that has nothing
// else to do.
package main

import (
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/capi-dispatcher/capi-dispatcher/cmd/internal/command"
)

// flags is what the program can be told.
type flags struct {
	events      int
	datasets    []int
	rates       []int
	length      time.Duration
	answerAfter time.Duration
	short       bool
}

func main() { os.Exit(command.Run(newRoot())) }

func newRoot() *cobra.Command {
	var f flags
	root := &cobra.Command{
		Use:           "bench",
		Short:         "Measure the whole thing, end to end",
		Example:       "  go run ./cmd/bench\n  go run ./cmd/bench --datasets 20 --rates 2000 --answer-after 80ms",
		Args:          cobra.NoArgs,
		SilenceErrors: true, SilenceUsage: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			result, err := onStage(cmd, f, 1, (*bench).measure)
			if err != nil {
				return err
			}
			return result.print(cmd.OutOrStdout())
		},
	}
	root.Flags().IntVar(&f.events, "events", 200_000, "events in each backlog, one in twenty a copy of an earlier one")
	root.Flags().IntSliceVar(&f.datasets, "datasets", []int{1, 20, 1000}, "a backlog each, for so many datasets")
	root.Flags().IntSliceVar(&f.rates, "rates", []int{200, 2000, 10_000}, "a latency each, at so many events a second")
	root.Flags().DurationVar(&f.length, "length", 10*time.Second, "how long each rate lasts")
	root.Flags().DurationVar(&f.answerAfter, "answer-after", 0, "how long the receiver waits before it answers")
	root.Flags().BoolVar(&f.short, "short", false, "small sizes, whatever the other flags say")
	root.AddCommand(growthCommand(), scaleCommand(), tracesCommand(), receiverCommand(), ceilingCommand())
	return root
}

// sized are the flags with the sizes that are to be used.
func (f flags) sized() flags {
	if f.short {
		f.events, f.rates, f.length = 2000, []int{200}, time.Second
	}
	return f
}
