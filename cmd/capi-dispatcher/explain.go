package main

import (
	"encoding/json"
	"fmt"
	"io"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/capi-dispatcher/capi-dispatcher/cmd/internal/completion"
	"github.com/capi-dispatcher/capi-dispatcher/cmd/internal/exit"
	"github.com/capi-dispatcher/capi-dispatcher/cmd/internal/explain"
	"github.com/capi-dispatcher/capi-dispatcher/cmd/internal/terminal"
	"github.com/capi-dispatcher/capi-dispatcher/graph"
)

func (p *program) explain() *cobra.Command {
	var asJSON bool
	command := &cobra.Command{
		Use:   "explain [ERROR|-]",
		Short: "Explain an error of Meta's",
		Long: `Explain an error of Meta's: what it means, what the dispatcher does with it, and
what a person should do. The error is a code (190), code and subcode (100/2804066),
a subcode (2804066), a message (#100 …), or an answer of Meta's with whatever is
around it in a log; with -, it is read from the standard input. Without an error,
list all codes that are known.`,
		Example: `  capi-dispatcher explain 100/2804066
  capi-dispatcher explain '(#100) Missing Permission'
  curl … | capi-dispatcher explain -
  capi-dispatcher explain`,
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: completion.Codes,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return listCodes(cmd.OutOrStdout(), asJSON)
			}
			text, err := textOf(args[0], cmd.InOrStdin())
			if err != nil {
				return err
			}
			found, err := explain.Read(text)
			if err != nil {
				return exit.Usage(err)
			}
			return show(cmd.OutOrStdout(), found, asJSON)
		},
	}
	command.Flags().BoolVar(&asJSON, "json", false, "print JSON, a line a code")
	return command
}

// textOf is an argument, or the standard input if that is -.
func textOf(argument string, in io.Reader) (string, error) {
	if argument != "-" {
		return argument, nil
	}
	const most = 64 << 10 // an answer of Meta's has some KB
	text, err := io.ReadAll(io.LimitReader(in, most))
	return string(text), err
}

func show(out io.Writer, found []explain.Pasted, asJSON bool) error {
	for i, p := range found {
		explained := p.Explain()
		if asJSON {
			if err := json.NewEncoder(out).Encode(explained); err != nil {
				return err
			}
			continue
		}
		if i > 0 {
			fmt.Fprintln(out)
		}
		if _, err := fmt.Fprint(out, explained.String()); err != nil {
			return err
		}
	}
	return nil
}

func listCodes(out io.Writer, asJSON bool) error {
	if asJSON {
		encoder := json.NewEncoder(out)
		for _, code := range graph.ErrorCodes() {
			if err := encoder.Encode(explain.Of(code)); err != nil {
				return err
			}
		}
		return nil
	}
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	_ = terminal.Row(table, "CODE", "VERDICT", "MEANING")
	for _, code := range graph.ErrorCodes() {
		e := explain.Of(code)
		if err := terminal.Row(table, code.String(), e.Verdict, e.Title); err != nil {
			return err
		}
	}
	return table.Flush()
}
