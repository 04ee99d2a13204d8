package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/capi-dispatcher/capi-dispatcher/cmd/bench/process"
)

// What spans cost is the worker's processors' time, and little beside the rest of it:
// so each way is measured in every round, the ways after each other, and what is
// compared is what one round has measured.

// spansPath is where the receiver takes spans, in a collector's place.
const spansPath = "/v1/traces"

func discardSpans(_ http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body)
}

// way is one way to trace.
type way struct {
	name string
	// against is the way that it is compared with, by its place.
	against int
	env     func(receiver string) []string
}

func ways() []way {
	exporting := func(to string, env ...string) []string {
		return append([]string{"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=" + to + spansPath}, env...)
	}
	const off, everything = 0, 2
	return []way{
		off: {name: "no exporter", env: func(string) []string { return nil }},
		1: {name: "1 % of events", against: off, env: func(receiver string) []string {
			return exporting(receiver, "OTEL_TRACES_SAMPLER=parentbased_traceidratio", "OTEL_TRACES_SAMPLER_ARG=0.01")
		}},
		everything: {name: "all events", against: off, env: func(receiver string) []string { return exporting(receiver) }},
		3: {name: "all events, collector away", against: everything, env: func(string) []string {
			return exporting("http://127.0.0.1:1")
		}},
	}
}

// traced is what one way has cost in one round.
type traced struct {
	cpu  time.Duration // of an event
	lost float64       // spans
}

// tracing are the flags.
type tracing struct {
	events, datasets, rounds int
}

func tracesCommand() *cobra.Command {
	var t tracing
	command := &cobra.Command{
		Use:   "traces",
		Short: "Measure what spans cost the worker, in interleaved rounds",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			rounds, err := onStage(cmd, flags{events: t.events}, 1,
				func(b *bench, ctx context.Context) ([][]traced, error) { return b.traces(ctx, &t) })
			if err != nil {
				return err
			}
			return t.print(cmd.OutOrStdout(), rounds)
		},
	}
	command.Flags().IntVar(&t.events, "events", 100_000, "events in each backlog")
	command.Flags().IntVar(&t.datasets, "datasets", 20, "for so many datasets")
	command.Flags().IntVar(&t.rounds, "rounds", 7, "how often each way is measured")
	return command
}

// traces measures each way in each round. The ways take turns at being the first.
func (b *bench) traces(ctx context.Context, t *tracing) (rounds [][]traced, err error) {
	all := ways()
	for n := range t.rounds {
		round := make([]traced, len(all))
		for i := range all {
			at := (i + n) % len(all)
			b.say("round %d of %d: %s", n+1, t.rounds, all[at].name)
			if round[at], err = b.trace(ctx, all[at], t.datasets); err != nil {
				return nil, err
			}
		}
		rounds = append(rounds, round)
	}
	return rounds, nil
}

// trace has a worker that traces in one way carry off a backlog.
func (b *bench) trace(ctx context.Context, w way, datasets int) (got traced, err error) {
	scene, err := b.newScene(ctx, 0, nil)
	if err != nil {
		return traced{}, err
	}
	defer scene.end()
	l := load{events: b.events, datasets: datasets, size: usualSize, began: time.Now()}
	if err := scene.publish(ctx, l); err != nil {
		return traced{}, err
	}
	// env sets the variables and becomes the worker.
	args := append([]string{"OTEL_METRICS_EXPORTER=none", "OTEL_BSP_SCHEDULE_DELAY=200"}, w.env(scene.url)...)
	running, err := process.Start(ctx, scene.dir, "worker", "env",
		append(args, scene.dispatcher, "run", "--config", scene.file)...)
	if err != nil {
		return traced{}, err
	}
	defer running.End()
	return scene.watchTraced(ctx, running, l)
}

// exported is how long the last spans are given to be exported.
const exported = time.Second

func (c *scene) watchTraced(ctx context.Context, running *process.Process, l load) (got traced, err error) {
	if err := c.awaitBegin(ctx, crew{running}); err != nil {
		return traced{}, err
	}
	before, err := running.CPU()
	if err != nil {
		return traced{}, err
	}
	if err := c.awaitAcknowledged(ctx, crew{running}, l.events); err != nil {
		return traced{}, err
	}
	select {
	case <-time.After(exported):
	case <-ctx.Done():
		return traced{}, ctx.Err()
	}
	after, err := running.CPU()
	if err != nil {
		return traced{}, err
	}
	got.cpu = (after - before) / time.Duration(l.events)
	got.lost, err = c.lostSpans(ctx, running)
	return got, err
}

// lostSpans asks the worker how many spans it could not export.
func (c *scene) lostSpans(ctx context.Context, running *process.Process) (lost float64, err error) {
	address, err := running.Said(ctx, admin)
	if err != nil {
		return 0, err
	}
	lost, _, err = c.metric(ctx, address, "capi_spans_lost_total")
	return lost, err
}

func (t *tracing) print(out io.Writer, rounds [][]traced) error {
	fmt.Fprintf(out, "\n%d processors, %s %s/%s; %d events of %d datasets, median of %d rounds\n\n",
		runtime.NumCPU(), runtime.Version(), runtime.GOOS, runtime.GOARCH, t.events, t.datasets, t.rounds)
	table := newTable(out)
	fmt.Fprint(table, "sampled\tworker's CPU an event µs\tagainst\tmore\tleast\tmost\tlost spans\t\n")
	for at, w := range ways() {
		var costs, more, lost []float64
		for _, round := range rounds {
			costs = append(costs, float64(round[at].cpu.Nanoseconds())/1000)
			more = append(more, 100*(float64(round[at].cpu)/float64(round[w.against].cpu)-1))
			lost = append(lost, round[at].lost)
		}
		fmt.Fprintf(table, "%s\t%.1f\t%s\t%+.1f %%\t%+.1f %%\t%+.1f %%\t%.0f\t\n", w.name, median(costs),
			ways()[w.against].name, median(more), slices.Min(more), slices.Max(more), median(lost))
	}
	return table.Flush()
}

// median is the middle of some figures, which it puts in order.
func median(figures []float64) float64 {
	slices.Sort(figures)
	return figures[len(figures)/2]
}
