package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/capi-dispatcher/capi-dispatcher/cmd/internal/doctor"
	"github.com/capi-dispatcher/capi-dispatcher/cmd/internal/terminal"
)

// errFaults says that the doctor has found faults, and has shown them.
var errFaults = errors.New("faults were found")

func (p *program) doctor() *cobra.Command {
	var asJSON bool
	var patience time.Duration
	command := &cobra.Command{
		Use:   "doctor",
		Short: "Find settings that contradict each other or the live servers",
		Long: `Look at the configuration, the streams and consumers in NATS, at Redis and at
the token files, and report what contradicts what. Nothing is changed and no
event is sent; one key of its own is claimed in Redis and released again.

Exit codes: 0 fine, warnings included; 1 a fault was found; 2 the configuration
is wrong in itself.`,
		Example: `  capi-dispatcher doctor --config config.yaml
  capi-dispatcher doctor --json | jq '.findings[] | select(.level != "ok")'`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := p.load()
			if err != nil {
				return err
			}
			ctx, cancel := context.WithTimeout(cmd.Context(), patience)
			defer cancel()
			findings := doctor.Worst(doctor.Examine(ctx, cfg))
			show := showFindings
			if asJSON {
				show = encodeFindings
			}
			if err := show(cmd.OutOrStdout(), findings); err != nil {
				return err
			}
			if faults, _ := doctor.Faults(findings); faults > 0 {
				return errFaults
			}
			return nil
		},
	}
	command.Flags().BoolVar(&asJSON, "json", false, "print the findings as JSON")
	command.Flags().DurationVar(&patience, "timeout", 20*time.Second, "how long all of it may take")
	return command
}

// showFindings prints findings for people: the worst first, each with what to
// do about it.
func showFindings(out io.Writer, findings []doctor.Finding) error {
	for _, f := range findings {
		fmt.Fprintf(out, "%-8s %s: %s\n", f.Level, terminal.Line(f.Check), oneLine(f.Found))
		if f.Advice != "" {
			fmt.Fprintf(out, "%-8s → %s\n", "", oneLine(f.Advice))
		}
	}
	faults, warnings := doctor.Faults(findings)
	_, err := fmt.Fprintf(out, "\n%s, %s, %d ok\n", terminal.Count(faults, "fault"), terminal.Count(warnings, "warning"),
		len(findings)-faults-warnings)
	return err
}

// oneLine puts several errors, of which a server may have written some, on one
// line.
func oneLine(text string) string { return terminal.Line(strings.ReplaceAll(text, "\n", "; ")) }

func encodeFindings(out io.Writer, findings []doctor.Finding) error {
	faults, warnings := doctor.Faults(findings)
	encoder := json.NewEncoder(out)
	encoder.SetIndent("", "  ")
	encoder.SetEscapeHTML(false)
	return encoder.Encode(struct {
		Faults   int              `json:"faults"`
		Warnings int              `json:"warnings"`
		Findings []doctor.Finding `json:"findings"`
	}{faults, warnings, findings})
}
