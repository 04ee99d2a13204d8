package dlq

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/spf13/cobra"
	"go.opentelemetry.io/otel/trace"
	"golang.org/x/time/rate"

	"github.com/capi-dispatcher/capi-dispatcher/cmd/internal/exit"
	"github.com/capi-dispatcher/capi-dispatcher/cmd/internal/terminal"
	"github.com/capi-dispatcher/capi-dispatcher/config"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/deadletter"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/traces"
)

// replayFlags is what replay can be told.
type replayFlags struct {
	filterFlags

	all    bool
	dryRun bool
	keep   bool
	rate   float64
}

func (v verbs) replay() *cobra.Command {
	var flags replayFlags
	command := &cobra.Command{
		Use:   "replay [NUMBER…]",
		Short: "Put dead letters back among the events",
		Long: `Put dead letters back among the events: those named by number, or those that
the flags choose; --all chooses every one. They go to the parked stream, as
events whose time has come, and workers take them like new ones: one whose
identity Meta has accepted since is dropped as a duplicate, so that nothing is
counted twice, whoever replays it and how often. A letter without a dataset has
it found by its account, wherever it was published. A letter is deleted once its
event is stored; --keep leaves it.

A letter that is not there any more has been replayed or removed by somebody
else: that is no failure. One that has only a part of its event is not replayed:
publish the whole event anew.

The trace of a letter goes on: see docs/traces.md.

Letters of unknown outcome may have been accepted: they are left out unless they
are named by number or by --reason unknown_outcome.`,
		Example: `  capi-dispatcher dlq replay 17 18
  capi-dispatcher dlq replay --reason no_dataset --since 24h --dry-run
  capi-dispatcher dlq replay --dataset 1234567890 --code 100/2804072 --rate 50`,
		RunE: func(cmd *cobra.Command, args []string) error {
			numbers, err := parseNumbers(args)
			if err != nil {
				return err
			}
			if len(numbers) == 0 && !flags.given() && !flags.all {
				return exit.Usage(errors.New("nothing is chosen: name numbers, use flags, or say --all"))
			}
			if len(numbers) > 0 && (flags.given() || flags.all) {
				return exit.Usage(errors.New("numbers and flags choose in different ways; use one of them"))
			}
			return v.withServer(cmd, func(box *deadletter.Box, cfg *config.Config, server string) error {
				letters, gone, err := flags.choose(cmd.Context(), box, numbers)
				if err != nil {
					return err
				}
				return v.spans(cmd.Context(), func(tracer trace.Tracer) error {
					spans := traces.New(traces.Config{Tracer: tracer})
					r := replayer{box: box, keep: flags.keep, spans: spans.Producer(cfg.NATS.ParkedStream, server)}
					return flags.replay(cmd, &r, letters, gone)
				})
			})
		},
	}
	flags.add(command)
	command.Flags().BoolVar(&flags.all, "all", false, "all dead letters, but for those of unknown outcome")
	command.Flags().BoolVar(&flags.dryRun, "dry-run", false, "only say what would be replayed")
	command.Flags().BoolVar(&flags.keep, "keep", false, "keep the dead letters")
	command.Flags().Float64Var(&flags.rate, "rate", 1000, "letters a second")
	return command
}

// choose collects the letters first: what is replayed may come back as a new
// letter, and is not to be met again. It counts those that were named and are not
// there any more.
func (f *replayFlags) choose(
	ctx context.Context, box *deadletter.Box, numbers []uint64,
) (letters []deadletter.Letter, gone int, err error) {
	for _, number := range numbers {
		letter, err := box.Get(ctx, number)
		switch {
		case errors.Is(err, deadletter.ErrNotFound) && box.Reached(number):
			gone++
		case err != nil:
			return nil, 0, err
		default:
			letters = append(letters, letter)
		}
	}
	if len(numbers) > 0 {
		return letters, gone, nil
	}
	filter, err := f.filter(time.Now())
	if err != nil {
		return nil, 0, err
	}
	withUnknown := slices.Contains(filter.Reasons, deadletter.UnknownOutcome)
	_, err = box.Each(ctx, filter, func(l deadletter.Letter) error {
		if l.Reason != deadletter.UnknownOutcome || withUnknown {
			letters = append(letters, l)
		}
		return nil
	})
	return letters, 0, err
}

// replayer replays letters, each in the trace that it has.
type replayer struct {
	box   *deadletter.Box
	keep  bool
	spans *traces.Producer
}

func (r *replayer) replay(ctx context.Context, letter *deadletter.Letter) error {
	goesOn := maps.Clone(letter.Trace)
	if goesOn == nil {
		goesOn = nats.Header{}
	}
	span := r.spans.Publish(traces.FromHeaders(ctx, letter.Trace), goesOn, "", letter.Dataset)
	letter.Trace = goesOn
	err := r.box.Replay(ctx, *letter, r.keep)
	span.End(0, err)
	return err
}

func (f *replayFlags) replay(cmd *cobra.Command, r *replayer, letters []deadletter.Letter, gone int) error {
	out := cmd.OutOrStdout()
	if f.dryRun {
		for i := range letters {
			l := &letters[i]
			fmt.Fprintf(out, "%d  %s  %s  %s\n", l.Sequence, terminal.Line(orDash(l.Dataset)), terminal.Line(string(l.Reason)),
				terminal.Line(orDash(shorten(eventName(l), 40))))
		}
		fmt.Fprintf(out, "%s would be replayed\n", terminal.Count(len(letters), "letter"))
		return nil
	}
	limiter := rate.NewLimiter(rate.Limit(f.rate), 1)
	replayed := 0
	var failed failures
	for i := range letters {
		if err := limiter.Wait(cmd.Context()); err != nil {
			failed.add(err)
			break
		}
		if err := r.replay(cmd.Context(), &letters[i]); err != nil {
			failed.add(err)
			continue
		}
		replayed++
	}
	fmt.Fprintf(out, "%d of %s replayed", replayed, terminal.Count(len(letters)+gone, "letter"))
	if gone > 0 {
		fmt.Fprintf(out, ", %d not there any more", gone)
	}
	fmt.Fprintln(out)
	if failed.total > 0 {
		return fmt.Errorf("not replayed: %s:%w", terminal.Count(len(letters)-replayed, "letter"), &failed)
	}
	return nil
}
