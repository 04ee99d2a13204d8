package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/capi-dispatcher/capi-dispatcher/config"
)

// clusterNodes is how many nodes of NATS and of Redis make the clusters.
const clusterNodes = 3

// crowd is what several workers need at a steady rate.
type crowd struct {
	workers int
	gather  time.Duration
	pace    pace
}

// scaled is all that is measured beyond one process.
type scaled struct {
	crowds []crowd
	// One dataset and two senders, with a slow receiver: how much of what is possible.
	twoSenders float64
	// The same backlog with single servers, and with clusters.
	single, clustered struct{ worker, ceiling measurement }
}

func scaleCommand() *cobra.Command {
	f := flags{rates: []int{2000}}
	command := &cobra.Command{
		Use:   "scale",
		Short: "Measure several workers, fewer calls, and clusters of NATS and Redis (some minutes)",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			result, err := onStage(cmd, f, 1, (*bench).scale)
			if err != nil {
				return err
			}
			if result.clustered, err = onStage(cmd, f, clusterNodes, (*bench).pair); err != nil {
				return err
			}
			return result.print(cmd.OutOrStdout())
		},
	}
	command.Flags().IntVar(&f.events, "events", 200_000, "events in each backlog")
	command.Flags().DurationVar(&f.length, "length", 10*time.Second, "how long each rate lasts")
	command.Flags().BoolVar(&f.short, "short", false, "small sizes: shows that it works, its figures mean nothing")
	return command
}

func (b *bench) scale(ctx context.Context) (result scaled, err error) {
	if result.crowds, err = b.crowds(ctx); err != nil {
		return result, err
	}
	if result.twoSenders, err = b.twoSenders(ctx); err != nil {
		return result, err
	}
	result.single, err = b.pair(ctx)
	return result, err
}

const slowAnswer = 100 * time.Millisecond

// crowds measures how many requests several workers make, and what gathering saves.
func (b *bench) crowds(ctx context.Context) (all []crowd, err error) {
	for _, gather := range []time.Duration{0, 100 * time.Millisecond, time.Second} {
		for _, workers := range []int{1, 2, 4, 8} {
			under := b.conditions(latencyDatasets)
			under.workers, under.answerAfter = workers, slowAnswer
			under.configure = func(cfg *config.Config) { cfg.Batch.Gather = gather }
			b.say("%d workers, batch.gather %s", workers, gather)
			paces, err := b.paces(ctx, b.rates, under)
			if err != nil {
				return nil, fmt.Errorf("%d workers: %w", workers, err)
			}
			all = append(all, crowd{workers, gather, paces[0]})
		}
	}
	return all, nil
}

// twoSenders measures how much of what two senders can do they do.
func (b *bench) twoSenders(ctx context.Context) (part float64, err error) {
	const senders = 2
	under := b.conditions(1)
	under.answerAfter, under.events = slowAnswer, b.events/2
	under.configure = func(cfg *config.Config) {
		cfg.Delivery.Senders, cfg.Delivery.SendersPerDataset = senders, senders
	}
	m, err := b.backlog(ctx, theWorker(), under)
	if err != nil {
		return 0, err
	}
	possible := senders * float64(config.Default().Batch.MaxEvents) / slowAnswer.Seconds()
	return float64(m.Received.Distinct) / m.Took.Seconds() / possible, nil
}

// pair measures a backlog with the worker and with the ceiling.
func (b *bench) pair(ctx context.Context) (result struct{ worker, ceiling measurement }, err error) {
	if result.worker, err = b.backlog(ctx, theWorker(), b.conditions(ceilingDatasets)); err != nil {
		return result, err
	}
	result.ceiling, err = b.backlog(ctx, theCeiling(), b.conditions(ceilingDatasets))
	return result, err
}

func (s scaled) print(out io.Writer) error {
	fmt.Fprintf(out, "\n%d events a second, %d datasets, the receiver answers after %s\n\n",
		s.crowds[0].pace.Rate, latencyDatasets, slowAnswer)
	table := newTable(out)
	fmt.Fprint(table, "workers\tbatch.gather\tevents\trequests\tevents each\tp50 ms\tp99 ms\t\n")
	for _, c := range s.crowds {
		l := c.pace.Latencies
		fmt.Fprintf(table, "%d\t%s\t%d\t%d\t%.1f\t%.0f\t%.0f\t\n", c.workers, c.gather, l.Events, c.pace.Requests,
			float64(l.Events)/float64(max(c.pace.Requests, 1)), milliseconds(l.P50), milliseconds(l.P99))
	}
	if err := table.Flush(); err != nil {
		return err
	}
	fmt.Fprintf(out, "\nTwo senders, one dataset, the receiver answers after %s: %.0f %% of what is possible\n\n",
		slowAnswer, 100*s.twoSenders)
	table = newTable(out)
	fmt.Fprint(table, "servers\t\tevents/s\titself µs\tnats µs\tredis µs\trequests\tevents each\t\n")
	for _, one := range []struct {
		servers string
		m       measurement
	}{
		{"single", s.single.worker},
		{"single", s.single.ceiling},
		{"clusters", s.clustered.worker},
		{"clusters", s.clustered.ceiling},
	} {
		m := one.m
		fmt.Fprintf(table, "%s\t%s\t%.0f\t%.1f\t%.1f\t%.1f\t%d\t%.1f\t\n", one.servers, m.Name, m.rate(),
			m.each(float64(m.CPU.Contender.Microseconds())), m.each(float64(m.CPU.NATS.Microseconds())),
			m.each(float64(m.CPU.Redis.Microseconds())), m.Received.Requests, m.eventsEach())
	}
	return table.Flush()
}
