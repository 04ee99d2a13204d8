package main

import (
	"context"
	"fmt"
	"io"
	"runtime"
	"time"
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

// run measures everything, and leaves nothing behind.
func run(ctx context.Context, f flags, progress io.Writer) (report, error) {
	if runtime.GOOS != "linux" {
		return report{}, errNotLinux
	}
	b := &bench{flags: f.sized(), progress: progress, began: time.Now()}
	result, err := b.run(ctx)
	if ctx.Err() != nil {
		return report{}, ctx.Err() // whatever has failed, that was why
	}
	return result, err
}

func (b *bench) run(ctx context.Context) (report, error) {
	b.say("building the programs, starting the servers")
	stage, err := newStage(ctx)
	if err != nil {
		return report{}, err
	}
	defer stage.end()
	b.stage = stage
	return b.measure(ctx)
}

func (b *bench) measure(ctx context.Context) (report, error) {
	result := report{Flags: b.flags}
	for _, datasets := range b.datasets {
		m, err := b.backlog(ctx, theWorker(), datasets)
		if err != nil {
			return report{}, err
		}
		result.Workers = append(result.Workers, m)
	}
	var err error
	if result.Ceiling, err = b.backlog(ctx, theCeiling(), ceilingDatasets); err != nil {
		return report{}, err
	}
	if result.Paces, err = b.paces(ctx); err != nil {
		return report{}, fmt.Errorf("latency: %w", err)
	}
	return result, nil
}

// say tells whoever waits what is being done.
func (b *bench) say(format string, args ...any) {
	fmt.Fprintf(b.progress, "%4.0fs  %s\n", time.Since(b.began).Seconds(), fmt.Sprintf(format, args...))
}
