package main

import (
	"context"
	"fmt"
	"os"
	"runtime/debug"
	"time"

	"github.com/spf13/cobra"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/trace"

	"github.com/capi-dispatcher/capi-dispatcher/cmd/internal/completion"
	"github.com/capi-dispatcher/capi-dispatcher/cmd/internal/connect"
	"github.com/capi-dispatcher/capi-dispatcher/cmd/internal/dlq"
	"github.com/capi-dispatcher/capi-dispatcher/cmd/internal/exit"
	"github.com/capi-dispatcher/capi-dispatcher/cmd/internal/telemetry"
	"github.com/capi-dispatcher/capi-dispatcher/cmd/internal/terminal"
	"github.com/capi-dispatcher/capi-dispatcher/config"
)

// program is what all verbs share.
type program struct {
	configFile string
}

func newRoot() *cobra.Command {
	var p program
	root := &cobra.Command{
		Use:   "capi-dispatcher",
		Short: "Carry conversion events from NATS JetStream to Meta's Conversions API",
		Long: `Carry conversion events from NATS JetStream to Meta's Conversions API:
none lost, none counted twice, no bad event sinking its neighbours.

Exit codes: 0 done, 1 failed, 2 wrong usage or configuration, 3 done but some
input was refused.`,
		Version:       version(),
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	// What a verb prints may have been written by others: producers, Meta.
	root.SetOut(terminal.Writer(os.Stdout))
	root.SetErr(terminal.Writer(os.Stderr))
	root.PersistentFlags().StringVar(&p.configFile, "config", "",
		"configuration file (YAML); CAPI_… variables override it")
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return exit.Usage(err) })
	root.AddCommand(p.run(), p.webhooks(), p.attribution(), p.forget())
	root.AddCommand(p.run(), p.publish(), p.validate(), p.testEvent(), p.explain(),
		dlq.Command(p.connect, withSpans), p.dataset(), p.streams(), p.config(), p.schema(), p.doctor())
	for _, command := range root.Commands() {
		refuseWrongArguments(command)
	}
	cobra.CheckErr(completion.Add(root, p.load)) // fails only for a flag that is not there
	return root
}

// refuseWrongArguments makes wrong arguments a usage error, for every verb.
func refuseWrongArguments(command *cobra.Command) {
	if check := command.Args; check != nil {
		command.Args = func(c *cobra.Command, args []string) error {
			if err := check(c, args); err != nil {
				return exit.Usage(fmt.Errorf("%w\nsee %s --help", err, c.CommandPath()))
			}
			return nil
		}
	}
	for _, sub := range command.Commands() {
		refuseWrongArguments(sub)
	}
}

// load reads the configuration.
func (p *program) load() (*config.Config, error) {
	cfg, err := config.Load(p.configFile, os.Environ())
	if err != nil {
		return nil, exit.Usage(err)
	}
	return cfg, nil
}

// connect loads the configuration and connects to NATS, for verbs that come
// and go: unlike a worker, they don't wait for a server that is away.
func (p *program) connect(role connect.Role) (*config.Config, *connect.Connection, error) {
	cfg, err := p.load()
	if err != nil {
		return nil, nil, err
	}
	nats, err := connect.NATSNow(&cfg.NATS, role)
	if err != nil {
		return nil, nil, err
	}
	return cfg, nats, nil
}

// withSpans does a verb's work with spans that go where the environment says.
func withSpans(ctx context.Context, work func(trace.Tracer) error) error {
	spans, err := telemetry.StartSpans(ctx, version())
	if err != nil {
		return exit.Usage(fmt.Errorf("telemetry: %w", err))
	}
	const patience = 3 * time.Second // for a collector, at the end
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
		defer cancel()
		if err := spans.Shutdown(ctx); err != nil {
			otel.Handle(err)
		}
	}()
	return work(spans.Tracer)
}

// version returns version, commit, date and Go version, from what the Go tool
// has written into the binary.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	commit, date := "unknown", "unknown"
	for _, setting := range info.Settings {
		switch setting.Key {
		case "vcs.revision":
			commit = setting.Value
		case "vcs.time":
			date = setting.Value
		}
	}
	return fmt.Sprintf("%s (commit %s, %s, %s)", info.Main.Version, commit, date, info.GoVersion)
}
