package main

import (
	"fmt"

	"github.com/spf13/cobra"
)

func (p *program) config() *cobra.Command {
	var asJSON bool
	printed := &cobra.Command{
		Use:   "print",
		Short: "Print the effective configuration, without secrets",
		Example: `  capi-dispatcher config print --config config.yaml
  capi-dispatcher config print --json | jq .nats`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := p.load()
			if err != nil {
				return err
			}
			form := cfg.YAML
			if asJSON {
				form = cfg.JSON
			}
			text, err := form()
			if err != nil {
				return err
			}
			_, err = fmt.Fprint(cmd.OutOrStdout(), text)
			return err
		},
	}
	printed.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	command := &cobra.Command{
		Use:   "config",
		Short: "Check or print the configuration",
	}
	command.AddCommand(
		&cobra.Command{
			Use:     "check",
			Short:   "Report every fault of the configuration",
			Example: "  capi-dispatcher config check --config config.yaml",
			Args:    cobra.NoArgs,
			RunE: func(cmd *cobra.Command, _ []string) error {
				if _, err := p.load(); err != nil {
					return err
				}
				_, err := fmt.Fprintln(cmd.OutOrStdout(), "the configuration is sound")
				return err
			},
		},
		printed,
	)
	return command
}
