package main

import (
	"context"
	"fmt"
	"io"
	"runtime"
	"time"

	"github.com/spf13/cobra"

	"github.com/capi-dispatcher/capi-dispatcher/cmd/bench/process"
)

// bench is one run of everything.
type bench struct {
	*stage
	flags

	progress io.Writer
	began    time.Time
}

// report is all that has been measured.
type report struct {
	Flags   flags
	Workers []measurement // one for each number of datasets
	Ceiling measurement
	Paces   []pace
}

// ceilingDatasets is few enough for full requests.
const ceilingDatasets = 20

// onStage runs a measurement between real servers, and leaves nothing behind.
func onStage[R any](
	cmd *cobra.Command, f flags, nodes int, measure func(*bench, context.Context) (R, error),
) (result R, err error) {
	return run(cmd.Context(), f, nodes, cmd.ErrOrStderr(), measure)
}

func run[R any](
	ctx context.Context, f flags, nodes int, progress io.Writer, measure func(*bench, context.Context) (R, error),
) (result R, err error) {
	if runtime.GOOS != "linux" {
		return result, process.ErrNotLinux
	}
	b := &bench{flags: f.sized(), progress: progress, began: time.Now()}
	b.say("building the programs, starting the servers")
	b.stage, err = newStage(ctx, nodes)
	if err == nil {
		defer b.end()
		result, err = measure(b, ctx)
	}
	if ctx.Err() != nil {
		return result, ctx.Err() // whatever has failed, that was why
	}
	return result, err
}

func (b *bench) measure(ctx context.Context) (report, error) {
	result := report{Flags: b.flags}
	for _, datasets := range b.datasets {
		m, err := b.backlog(ctx, theWorker(), b.conditions(datasets))
		if err != nil {
			return report{}, err
		}
		result.Workers = append(result.Workers, m)
	}
	var err error
	if result.Ceiling, err = b.backlog(ctx, theCeiling(), b.conditions(ceilingDatasets)); err != nil {
		return report{}, err
	}
	if result.Paces, err = b.paces(ctx, b.rates, b.conditions(latencyDatasets)); err != nil {
		return report{}, fmt.Errorf("latency: %w", err)
	}
	return result, nil
}

// conditions are those that the flags say.
func (f flags) conditions(datasets int) conditions {
	return conditions{
		load:    load{events: f.events, datasets: datasets, size: usualSize},
		workers: 1, answerAfter: f.answerAfter,
	}
}

// say tells whoever waits what is being done.
func (b *bench) say(format string, args ...any) {
	fmt.Fprintf(b.progress, "%4.0fs  %s\n", time.Since(b.began).Seconds(), fmt.Sprintf(format, args...))
}
