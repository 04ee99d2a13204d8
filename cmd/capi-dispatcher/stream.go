package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/capi-dispatcher/capi-dispatcher/dispatcher"
)

func (p *program) streams() *cobra.Command {
	command := &cobra.Command{
		Use:   "stream",
		Short: "Set the streams up",
	}
	command.AddCommand(&cobra.Command{
		Use:   "ensure",
		Short: "Create missing streams, create or update the consumers",
		Long: `Create the streams for events, parked events and dead letters where they are
missing, and create or update the consumers. Existing streams are not changed.
With nats.manage: false everything is only verified. Running it again does no
harm.`,
		Example: "  capi-dispatcher stream ensure --config config.yaml",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, js, err := p.connect()
			if err != nil {
				return err
			}
			defer js.Conn().Close()
			set := dispatcher.NewStreamSet(cfg.NATS.Streams, js, func(warning string) {
				cmd.PrintErrln("warning:", warning)
			})
			if err := errors.Join(set.Ensure(cmd.Context()), set.EnsureConsumers(cmd.Context())); err != nil {
				return err
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "streams %s, %s and %s are there, with consumer %s\n",
				cfg.NATS.Stream, cfg.NATS.ParkedStream, cfg.NATS.DeadLetterStream, cfg.NATS.Consumer)
			return err
		},
	})
	return command
}
