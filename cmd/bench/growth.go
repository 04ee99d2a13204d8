package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/capi-dispatcher/capi-dispatcher/cmd/bench/plot"
	"github.com/capi-dispatcher/capi-dispatcher/config"
)

// direction is one way in which the work may grow, all else being usual.
type direction struct {
	name   string
	points []growthPoint
}

// growthPoint is one size. x is where it is drawn: to a logarithmic scale, so none is
// at 0.
type growthPoint struct {
	label  string
	x      float64
	change func(under *conditions)
}

// directions are all that is tried. Where an event costs much, there are fewer.
func directions() []direction {
	sized := func(name string, change func(under *conditions, size int), sizes ...int) (d direction) {
		d.name = name
		for _, size := range sizes {
			d.points = append(d.points, growthPoint{
				strconv.Itoa(size), float64(size), func(under *conditions) { change(under, size) },
			})
		}
		return d
	}
	return []direction{
		sized("backlog, events", func(under *conditions, n int) { under.events = n }, 1000, 10_000, 100_000, 1_000_000),
		sized("datasets", func(under *conditions, n int) { under.datasets = n }, 1, 10, 100, 1000, 10_000),
		sized("bytes of an event", func(under *conditions, n int) {
			under.size, under.events = n, min(under.events, 150_000_000/n)
		}, 300, 700, 2000, 8000),
		sized("batch.max_events", func(under *conditions, n int) {
			under.configure = func(cfg *config.Config) { cfg.Batch.MaxEvents = n }
		}, 10, 100, 1000),
		sized("workers", func(under *conditions, n int) { under.workers = n }, 1, 2, 4, 8),
		{"poison, of all events", []growthPoint{
			poisoned("none", 0, 0.00001), poisoned("0.01 %", 0.0001, 0.0001),
			poisoned("0.1 %", 0.001, 0.001), poisoned("1 %", 0.01, 0.01),
		}},
		{"10,000 datasets, more room", []growthPoint{
			roomy("10,000", 10_000), roomy("30,000", 30_000), roomy("100,000", 100_000),
		}},
	}
}

func poisoned(label string, part, x float64) growthPoint {
	return growthPoint{label, x, func(under *conditions) {
		under.poison, under.events = part, min(under.events, 50_000)
	}}
}

// roomy gives the worker room for so many messages.
func roomy(label string, room int) growthPoint {
	return growthPoint{label, float64(room), func(under *conditions) {
		under.datasets = 10_000
		under.configure = func(cfg *config.Config) {
			const each = 4 << 10 // bytes in flight
			cfg.Delivery.MaxInFlight = room
			cfg.Delivery.MaxInFlightBytes = max(cfg.Delivery.MaxInFlightBytes, room*each)
			cfg.NATS.MaxAckPending = max(cfg.NATS.MaxAckPending, room)
		}
	}}
}

// grown is what was measured of a direction, point by point.
type grown struct {
	direction

	measured []measurement
}

func growthCommand() *cobra.Command {
	f := flags{}
	var picture string
	command := &cobra.Command{
		Use:     "growth",
		Short:   "Measure how the cost of an event changes as the work grows (some minutes)",
		Example: "  go run ./cmd/bench growth --plot docs/performance-growth.svg",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			all, err := onStage(cmd, f, 1, func(b *bench, ctx context.Context) ([]grown, error) {
				return b.growth(ctx, directions())
			})
			if err != nil {
				return err
			}
			return errors.Join(printGrowth(cmd.OutOrStdout(), all), drawGrowth(picture, all))
		},
	}
	command.Flags().IntVar(&f.events, "events", 200_000, "events in each backlog, where nothing else is said")
	command.Flags().BoolVar(&f.short, "short", false, "small sizes: shows that it works, its figures mean nothing")
	command.Flags().StringVar(&picture, "plot", "", "a file for the picture, as SVG")
	return command
}

func (b *bench) growth(ctx context.Context, directions []direction) (all []grown, err error) {
	for _, d := range directions {
		g := grown{direction: d}
		for _, point := range d.points {
			under := b.conditions(ceilingDatasets)
			point.change(&under)
			if b.short {
				under.events = min(under.events, b.events)
			}
			b.say("%s: %s", d.name, point.label)
			m, err := b.backlog(ctx, theWorker(), under)
			if err != nil {
				return nil, fmt.Errorf("%s, %s: %w", d.name, point.label, err)
			}
			g.measured = append(g.measured, m)
		}
		all = append(all, g)
	}
	return all, nil
}

func printGrowth(out io.Writer, all []grown) error {
	table := newTable(out)
	fmt.Fprint(table, "\t\tevents\tevents/s\titself µs\tnats µs\tredis µs\tallocs\tpeak MB\trequests\tevents each\t\n")
	for _, g := range all {
		for i, m := range g.measured {
			fmt.Fprintf(table, "%s\t%s\t%d\t%.0f\t%.1f\t%.1f\t%.1f\t%.1f\t%.0f\t%d\t%.1f\t\n", g.name, g.points[i].label,
				m.Load.events, m.rate(), m.each(float64(m.CPU.Contender.Microseconds())),
				m.each(float64(m.CPU.NATS.Microseconds())), m.each(float64(m.CPU.Redis.Microseconds())),
				m.each(float64(m.Allocs)), float64(m.Peak)/1e6, m.Received.Requests, m.eventsEach())
		}
	}
	return table.Flush()
}

// drawGrowth draws what an event costs the worker.
func drawGrowth(file string, all []grown) (err error) {
	if file == "" {
		return nil
	}
	var panels []plot.Panel
	for _, g := range all {
		panel := plot.Panel{Title: "µs an event · " + g.name}
		for i, m := range g.measured {
			panel.Points = append(panel.Points, plot.Point{
				Label: g.points[i].label, X: g.points[i].x, Y: m.each(float64(m.CPU.Contender.Microseconds())),
			})
		}
		panels = append(panels, panel)
	}
	out, err := os.Create(file)
	if err != nil {
		return err
	}
	return errors.Join(plot.SVG(out, panels), out.Close())
}
