package main

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/capi-dispatcher/capi-dispatcher/cmd/internal/connect"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/attribution/clicks"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/streams"
)

func (p *program) streams() *cobra.Command {
	command := &cobra.Command{
		Use:   "stream",
		Short: "Set the streams up",
	}
	command.AddCommand(p.ensureStreams())
	return command
}

func (p *program) ensureStreams() *cobra.Command {
	var asJSON bool
	command := &cobra.Command{
		Use:   "ensure",
		Short: "Create missing streams, create or update the consumers",
		Long: `Create the streams for events, parked events and dead letters where they are
missing, and create or update the consumers. Existing streams are not changed.
With nats.manage: false everything is only verified. Running it again does no
harm. Consumers that workers use with another nats.ack_wait,
nats.max_ack_pending or dedupe.key are left to them: stop those first. With
attribution.enabled, the streams of clicks and of partners' webhooks are created, too.`,
		Example: "  capi-dispatcher stream ensure --config config.yaml",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, nats, err := p.connect(connect.Worker)
			if err != nil {
				return err
			}
			defer nats.Conn().Close()
			warnings := []string{}
			set := streams.New(cfg.NATS.Streams, nats, func(warning string) {
				warnings = append(warnings, warning)
				cmd.PrintErrln("warning:", warning)
			}).KeyedBy(string(cfg.Dedupe.Key))
			err = nats.Rights.Do(cmd.Context(), func(ctx context.Context) error {
				if err := set.Ensure(ctx); err != nil {
					return err
				}
				if err := set.EnsureConsumers(ctx); err != nil || !cfg.Attribution.Enabled {
					return err
				}
				kept := cfg.Clicks()
				_, _, err := clicks.Ensure(ctx, nats, &kept)
				return err
			})
			if err != nil {
				return err
			}
			if asJSON {
				return json.NewEncoder(cmd.OutOrStdout()).Encode(map[string]any{
					"streams":  []string{cfg.NATS.Stream, cfg.NATS.ParkedStream, cfg.NATS.DeadLetterStream},
					"consumer": cfg.NATS.Consumer, "managed": cfg.NATS.Manage, "warnings": warnings,
				})
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "streams %s, %s and %s are there, with consumer %s\n",
				cfg.NATS.Stream, cfg.NATS.ParkedStream, cfg.NATS.DeadLetterStream, cfg.NATS.Consumer)
			return err
		},
	}
	command.Flags().BoolVar(&asJSON, "json", false, "print what is there as JSON")
	return command
}
