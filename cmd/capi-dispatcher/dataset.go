package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/capi-dispatcher/capi-dispatcher/cmd/internal/connect"
	"github.com/capi-dispatcher/capi-dispatcher/cmd/internal/exit"
	"github.com/capi-dispatcher/capi-dispatcher/cmd/internal/terminal"
	"github.com/capi-dispatcher/capi-dispatcher/graph"
)

func (p *program) dataset() *cobra.Command {
	command := &cobra.Command{
		Use:   "dataset",
		Short: "Read or create the dataset of a page or account",
		Long: `Read or create the dataset of a page, a WhatsApp Business Account or an
Instagram account. The access token is that in graph.token_dir, in a file named
for the account, else in default. It needs the permission page_events for a
page, whatsapp_business_management and whatsapp_business_manage_events for a
WhatsApp Business Account, instagram_manage_events for an Instagram account.`,
	}
	command.AddCommand(p.datasetGet(), p.datasetCreate())
	return command
}

func (p *program) datasetGet() *cobra.Command {
	var flags assetFlags
	command := &cobra.Command{
		Use:     "get",
		Short:   "Print the id of an account's dataset",
		Example: "  capi-dispatcher dataset get --page 1061",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return p.askDataset(cmd, &flags, func(ctx context.Context, client *graph.Client, asset graph.Asset) (string, error) {
				id, err := client.Dataset(ctx, asset)
				if errors.Is(err, graph.ErrNoDataset) {
					return "", fmt.Errorf("%w; to create one: capi-dispatcher dataset create %s", err, flags.again())
				}
				return id, err
			})
		},
	}
	flags.add(command)
	return command
}

func (p *program) datasetCreate() *cobra.Command {
	var flags assetFlags
	var name string
	command := &cobra.Command{
		Use:     "create",
		Short:   "Create an account's dataset, or print the id of the one it has",
		Example: "  capi-dispatcher dataset create --waba 102290129340398 --name shop",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return p.askDataset(cmd, &flags, func(ctx context.Context, client *graph.Client, asset graph.Asset) (string, error) {
				return client.CreateDataset(ctx, asset, name)
			})
		},
	}
	flags.add(command)
	command.Flags().StringVar(&name, "name", "", "name of a new dataset")
	return command
}

// askDataset makes one request about an account, and prints the dataset's id.
func (p *program) askDataset(
	cmd *cobra.Command, flags *assetFlags, ask func(context.Context, *graph.Client, graph.Asset) (string, error),
) error {
	cfg, err := p.load()
	if err != nil {
		return err
	}
	transport := graph.NewTransport(1)
	defer transport.CloseIdleConnections()
	client, err := connect.Graph(&cfg.Graph, transport)
	if err != nil {
		return exit.Usage(err)
	}
	asset := flags.asset()
	id, err := ask(cmd.Context(), client, asset)
	switch {
	case errors.Is(err, graph.ErrAssetID):
		return exit.Usage(err)
	case err != nil:
		return withMetasWords(err)
	case flags.asJSON:
		return json.NewEncoder(cmd.OutOrStdout()).Encode(map[string]string{
			"kind": string(asset.Kind), "id": asset.ID, "dataset": id,
		})
	default:
		_, err = fmt.Fprintln(cmd.OutOrStdout(), id)
		return err
	}
}

// withMetasWords adds to an error what Meta said to a person.
func withMetasWords(err error) error {
	failed, ok := errors.AsType[*graph.Error](err)
	if !ok || failed.Words() == "" {
		return err
	}
	return fmt.Errorf("%w\nMeta said: %s", err, terminal.Line(failed.Words()))
}

// assetFlags name one account.
type assetFlags struct {
	page, waba, instagram string
	asJSON                bool
}

func (f *assetFlags) add(command *cobra.Command) {
	flags := command.Flags()
	flags.StringVar(&f.page, "page", "", "id of a Facebook page")
	flags.StringVar(&f.waba, "waba", "", "id of a WhatsApp Business Account")
	flags.StringVar(&f.instagram, "instagram", "", "id of an Instagram account")
	flags.BoolVar(&f.asJSON, "json", false, "print JSON")
	command.PreRunE = func(cmd *cobra.Command, _ []string) error {
		given := 0
		for _, name := range []string{"page", "waba", "instagram"} {
			if cmd.Flags().Changed(name) {
				given++
			}
		}
		if given != 1 {
			return exit.Usage(errors.New("name one account: --page ID, --waba ID or --instagram ID"))
		}
		return nil
	}
}

func (f *assetFlags) asset() graph.Asset {
	switch {
	case f.page != "":
		return graph.Asset{Kind: graph.Page, ID: f.page}
	case f.waba != "":
		return graph.Asset{Kind: graph.WhatsAppAccount, ID: f.waba}
	default:
		return graph.Asset{Kind: graph.InstagramUser, ID: f.instagram}
	}
}

// again is how the same account is named to another verb.
func (f *assetFlags) again() string {
	asset := f.asset()
	flag := map[graph.Kind]string{
		graph.Page: "--page", graph.WhatsAppAccount: "--waba", graph.InstagramUser: "--instagram",
	}[asset.Kind]
	return flag + " " + asset.ID
}
