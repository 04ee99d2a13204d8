package main

import (
	"errors"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/capi-dispatcher/capi-dispatcher/cmd/internal/exit"
	"github.com/capi-dispatcher/capi-dispatcher/cmd/internal/logging"
	"github.com/capi-dispatcher/capi-dispatcher/cmd/internal/receiver"
	"github.com/capi-dispatcher/capi-dispatcher/cmd/internal/worker"
	"github.com/capi-dispatcher/capi-dispatcher/config"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/streams"
)

func (p *program) run() *cobra.Command {
	return &cobra.Command{
		Use:   "run",
		Short: "Dispatch events until told to stop",
		Long: `Dispatch events until SIGTERM or SIGINT: then take no more, send what is in
hand within delivery.drain_timeout, give the rest back, and exit 0. A second
signal ends the process at once, which loses nothing either. SIGHUP is ignored:
replaced token files are seen without it, and another configuration takes a
restart.`,
		Example: "  capi-dispatcher run --config /etc/capi-dispatcher/config.yaml",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			signal.Ignore(syscall.SIGHUP) // it would end the process without a drain
			return p.serve(func(cfg *config.Config, log logging.Log) error {
				return worker.Run(cmd.Context(), cfg, version(), log, nil)
			})
		},
	}
}

func (p *program) webhooks() *cobra.Command {
	return &cobra.Command{
		Use:   "webhooks",
		Short: "Take Meta's webhooks, so that events find their clicks",
		Long: `Take Meta's webhooks until told to stop, and keep what they tell of clicks on ads
and of people, so that workers find it for events in chats. What partners publish
to NATS is taken as well. It needs no access token of Meta's.

A webhook is answered with 200 once NATS has stored what it tells, and with 503
while it cannot: Meta sends it again then.`,
		Example: "  capi-dispatcher webhooks --config /etc/capi-dispatcher/config.yaml",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return p.serve(func(cfg *config.Config, log logging.Log) error {
				return receiver.Run(cmd.Context(), cfg, version(), log, nil)
			})
		},
	}
}

// serve runs what goes on until it is told to stop, with its configuration and its
// log. A setup that cannot work is the caller's mistake.
func (p *program) serve(run func(cfg *config.Config, log logging.Log) error) error {
	cfg, err := p.load()
	if err != nil {
		return err
	}
	log, err := logging.New(cfg.Log, os.Stderr)
	if err != nil {
		return exit.Usage(err)
	}
	defer func() { _ = log.Sync() }()
	logging.Redirect(log.Logger)
	err = run(cfg, log)
	if _, ok := errors.AsType[*streams.SetupError](err); ok || errors.Is(err, receiver.ErrOff) {
		return exit.Usage(err)
	}
	return err
}
