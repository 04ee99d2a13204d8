// Package dlq is the verbs for dead letters: to list, show, replay and remove them.
package dlq

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/spf13/cobra"
	"go.opentelemetry.io/otel/trace"

	"github.com/capi-dispatcher/capi-dispatcher/cmd/internal/connect"
	"github.com/capi-dispatcher/capi-dispatcher/cmd/internal/exit"
	"github.com/capi-dispatcher/capi-dispatcher/config"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/deadletter"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/streams"
)

// verbs are those of dlq.
type verbs struct {
	open  func(connect.Role) (*config.Config, *connect.Connection, error)
	spans func(context.Context, func(trace.Tracer) error) error
}

// Command returns the verbs. open reads the configuration and connects; spans does
// work that has spans.
func Command(
	open func(connect.Role) (*config.Config, *connect.Connection, error),
	spans func(context.Context, func(trace.Tracer) error) error,
) *cobra.Command {
	v := verbs{open, spans}
	command := &cobra.Command{
		Use:   "dlq",
		Short: "Work with dead letters",
		Long: `Work with dead letters: the events that Meta will not take, each with its
original bytes and the reason.`,
	}
	command.AddCommand(v.list(), v.show(), v.replay(), v.remove())
	return command
}

// withBox connects, opens the dead-letter stream and works with it. The
// command's context ends when NATS denies a right to it.
func (v verbs) withBox(cmd *cobra.Command, work func(box *deadletter.Box) error) error {
	return v.withServer(cmd, func(box *deadletter.Box, _ *config.Config, _ string) error { return work(box) })
}

// withServer does so, and says where the server is.
func (v verbs) withServer(
	cmd *cobra.Command, work func(box *deadletter.Box, cfg *config.Config, server string) error,
) error {
	cfg, nats, err := v.open(connect.DLQ)
	if err != nil {
		return err
	}
	defer nats.Conn().Close()
	return nats.Rights.Do(cmd.Context(), func(ctx context.Context) error {
		cmd.SetContext(ctx)
		box, err := deadletter.Open(ctx, nats, cfg.NATS.Letters())
		if errors.Is(err, jetstream.ErrStreamNotFound) {
			return fmt.Errorf("%w; check nats.dead_letter_stream", err)
		}
		if err != nil {
			return streams.InWords(err)
		}
		return work(box, cfg, nats.Conn().ConnectedUrlRedacted())
	})
}

// filterFlags choose dead letters.
type filterFlags struct {
	dataset string
	reasons []string
	since   time.Duration
	code    string
	most    int
}

func (f *filterFlags) add(command *cobra.Command) {
	flags := command.Flags()
	flags.StringVar(&f.dataset, "dataset", "", "of this dataset")
	flags.StringSliceVar(&f.reasons, "reason", nil, "for these reasons: "+reasonList())
	flags.DurationVar(&f.since, "since", 0, "dead-lettered in the last while, like 2h")
	flags.StringVar(&f.code, "code", "", "with this error of Meta's: CODE or CODE/SUBCODE")
	flags.IntVar(&f.most, "limit", 0, "at most so many, oldest first")
}

func reasonList() string {
	words := make([]string, len(deadletter.Reasons()))
	for i, reason := range deadletter.Reasons() {
		words[i] = string(reason)
	}
	return strings.Join(words, ", ")
}

// given reports whether anything is chosen at all.
func (f *filterFlags) given() bool {
	return f.dataset != "" || len(f.reasons) > 0 || f.since > 0 || f.code != ""
}

func (f *filterFlags) filter(now time.Time) (deadletter.Filter, error) {
	filter := deadletter.Filter{Dataset: f.dataset, Most: f.most}
	for _, word := range f.reasons {
		reason := deadletter.Reason(word)
		if !slices.Contains(deadletter.Reasons(), reason) {
			return filter, exit.Usage(fmt.Errorf("--reason %s: is none of %s", word, reasonList()))
		}
		filter.Reasons = append(filter.Reasons, reason)
	}
	if f.since > 0 {
		filter.Since = now.Add(-f.since)
	}
	if f.code != "" {
		if _, err := fmt.Sscanf(f.code+"/0", "%d/%d", &filter.Code, &filter.Subcode); err != nil {
			return filter, exit.Usage(fmt.Errorf("--code %s: is not of the form 100 or 100/2804066", f.code))
		}
	}
	return filter, nil
}
