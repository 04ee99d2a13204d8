// Package completion tells shells what flags and arguments can be: datasets, reasons
// of dead letters, codes of Meta's. It asks no server; where there is no
// configuration, there are no datasets to suggest.
package completion

import (
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/capi-dispatcher/capi-dispatcher/config"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/admission"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/deadletter"
	"github.com/capi-dispatcher/capi-dispatcher/graph"
)

// Load reads the configuration.
type Load func() (*config.Config, error)

// Add adds completions to a program's flags, by their names.
func Add(root *cobra.Command, load Load) error {
	if err := root.MarkPersistentFlagFilename("config", "yaml", "yml"); err != nil {
		return err
	}
	return add(root, map[string]cobra.CompletionFunc{
		"dataset": offer(func() []string { return datasets(load) }),
		"reason":  offer(reasons),
		"code":    Codes,
	})
}

func add(command *cobra.Command, values map[string]cobra.CompletionFunc) error {
	for name, complete := range values {
		// A test code is anybody's, and none of Meta's errors.
		if command.Flags().Lookup(name) == nil || command.Name() == "test-event" && name == "code" {
			continue
		}
		if err := command.RegisterFlagCompletionFunc(name, complete); err != nil {
			return err
		}
	}
	for _, sub := range command.Commands() {
		if err := add(sub, values); err != nil {
			return err
		}
	}
	return nil
}

// offer completes with values, and with no files.
func offer(values func() []string) cobra.CompletionFunc {
	return func(*cobra.Command, []string, string) ([]cobra.Completion, cobra.ShellCompDirective) {
		return values(), cobra.ShellCompDirectiveNoFileComp
	}
}

// Codes completes errors of Meta's that are known, each with what it means.
func Codes(_ *cobra.Command, args []string, _ string) (codes []cobra.Completion, _ cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	for _, code := range graph.ErrorCodes() {
		meaning, _ := graph.Explain(code.Code, code.Subcode)
		codes = append(codes, cobra.CompletionWithDesc(code.String(), meaning.Title))
	}
	return codes, cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveKeepOrder
}

func reasons() (words []string) {
	for _, reason := range deadletter.Reasons() {
		words = append(words, string(reason))
	}
	return words
}

// datasets lists those that the configuration names, and those with a token file.
func datasets(load Load) []string {
	known := map[string]bool{admission.Auto: true}
	cfg, err := load()
	if err != nil {
		return slices.Collect(maps.Keys(known))
	}
	for dataset := range cfg.Datasets {
		known[dataset] = true
	}
	for _, page := range cfg.Assets.Pages {
		known[page.Dataset] = true
	}
	for _, account := range cfg.Assets.WhatsAppAccounts {
		known[account.Dataset] = true
	}
	for _, account := range cfg.Assets.Instagram {
		known[account.Dataset] = true
	}
	files, _ := os.ReadDir(cfg.Graph.TokenDir)
	for _, file := range files {
		if graph.IsID(file.Name()) {
			known[file.Name()] = true
		}
	}
	return slices.DeleteFunc(slices.Sorted(maps.Keys(known)), func(dataset string) bool {
		return strings.TrimSpace(dataset) == ""
	})
}
