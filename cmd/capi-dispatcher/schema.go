package main

import (
	"strings"

	"github.com/spf13/cobra"

	"github.com/capi-dispatcher/capi-dispatcher/cmd/internal/schema"
)

func (p *program) schema() *cobra.Command {
	return &cobra.Command{
		Use:   "schema " + strings.Join(schema.Kinds(), "|"),
		Short: "Print the schema of events or of the configuration, or what describes the subjects or the admin port",
		Long: `Print a description of an interface, as JSON:

  event      JSON Schema of what producers publish, so that they can check it in any
             language. It refuses nothing that the dispatcher takes; its description
             lists what it cannot say.
  config     JSON Schema of the configuration file
  asyncapi   AsyncAPI document of the subjects, messages and headers
  openapi    OpenAPI document of the admin port

Those of events and subjects are made with the configuration that is given.`,
		Example: `  capi-dispatcher schema event > event.schema.json
  capi-dispatcher schema asyncapi --config config.yaml`,
		Args:      cobra.MatchAll(cobra.ExactArgs(1), cobra.OnlyValidArgs),
		ValidArgs: schema.Kinds(),
		RunE: func(cmd *cobra.Command, args []string) error {
			cfg, err := p.load()
			if err != nil {
				return err
			}
			text, err := schema.Marshal(schema.Of(args[0], cfg))
			if err != nil {
				return err
			}
			_, err = cmd.OutOrStdout().Write(text)
			return err
		},
	}
}
