package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/capi-dispatcher/capi-dispatcher/cmd/internal/connect"
	"github.com/capi-dispatcher/capi-dispatcher/cmd/internal/exit"
	"github.com/capi-dispatcher/capi-dispatcher/cmd/internal/people"
	"github.com/capi-dispatcher/capi-dispatcher/cmd/internal/terminal"
	"github.com/capi-dispatcher/capi-dispatcher/config"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/attribution"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/attribution/index"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/attribution/keyring"
	"github.com/capi-dispatcher/capi-dispatcher/graph"
	"github.com/capi-dispatcher/capi-dispatcher/graph/event"
)

func (p *program) attribution() *cobra.Command {
	command := &cobra.Command{
		Use:   "attribution",
		Short: "Look after what webhooks have told",
	}
	command.AddCommand(&cobra.Command{
		Use:   "rebuild",
		Short: "Put all clicks and people into Redis again",
		Long: `Put all clicks and people into Redis again, out of their stream: after Redis has lost
them. Nothing has to be stopped for it, and running it again does no harm.`,
		Example: "  capi-dispatcher attribution rebuild --config config.yaml",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return p.withPeople(cmd, func(ctx context.Context, keeper *people.Keeper) error {
				rebuilt, err := keeper.Rebuild(ctx)
				if err != nil {
					return err
				}
				_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s put into Redis; %d could not be read\n",
					terminal.Count(rebuilt.Records, "record"), rebuilt.Malformed)
				return err
			})
		},
	})
	return command
}

func (p *program) forget() *cobra.Command {
	var who people.Person
	var channel string
	command := &cobra.Command{
		Use:   "forget",
		Short: "Delete what is kept of a person",
		Long: `Delete what is kept of a person on an account: clicks, ids and aliases in Redis and in
their stream, and the parked events and dead letters that can be told to be theirs.
It says what it has deleted, and what it could not reach. With --dry-run, nothing is
deleted.`,
		Example: `  capi-dispatcher forget --channel whatsapp --account 102290129340398 --user +491701234567
  capi-dispatcher forget --channel messenger --account 1061 --user 6789012345`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			who.Channel = event.Channel(channel)
			if who.Channel.PersonMember() == "" || !graph.IsID(who.Account) || who.User == "" && who.Conversation == "" {
				return exit.Usage(errors.New("name the person: --channel messenger, whatsapp or instagram, --account with its id, and --user or --conversation"))
			}
			return p.withPeople(cmd, func(ctx context.Context, keeper *people.Keeper) error {
				forgotten, err := keeper.Forget(ctx, who)
				if err != nil {
					return err
				}
				_, err = fmt.Fprint(cmd.OutOrStdout(), forgotten.String())
				return err
			})
		},
	}
	flags := command.Flags()
	flags.StringVar(&channel, "channel", "", "messenger, whatsapp or instagram")
	flags.StringVar(&who.Account, "account", "", "id of the WhatsApp Business Account, page or Instagram account")
	flags.StringVar(&who.User, "user", "", "phone number, or the id that Meta's webhooks have for the person")
	flags.StringVar(&who.Conversation, "conversation", "", "your own id of the conversation")
	flags.BoolVar(&who.DryRun, "dry-run", false, "say what would be deleted, and delete nothing")
	return command
}

// peopleOf returns what says which click or person a worker would find for an event, and
// what ends it. It shows neither: they identify people.
func peopleOf(
	ctx context.Context, cfg *config.Config,
) (lookUp func(dataset string, e *event.Event) event.Fault, end func(), err error) {
	ring, err := keyring.Read(cfg.Attribution.KeyFile)
	if err != nil {
		return nil, nil, exit.Usage(fmt.Errorf("attribution.key_file: %w", err))
	}
	client, err := connect.Redis(&cfg.Redis, 2)
	if err != nil {
		return nil, nil, err
	}
	a := attribution.New(cfg.Attribution, &cfg.Assets, ring, index.New(client, cfg.Attribution.Keep))
	return func(dataset string, e *event.Event) event.Fault {
		if !graph.IsID(dataset) {
			dataset = a.Dataset(e)
		}
		search := a.Search(dataset, e, false)
		match := a.Look(ctx, []attribution.Search{search})[0]
		return event.Fault{
			Pointer: "/user_data/" + e.Channel.PersonMember(), Code: "attribution", Message: told(cfg, &search, &match),
		}
	}, func() { _ = client.Close() }, nil
}

// told says what was found, and what would become of the event.
func told(cfg *config.Config, search *attribution.Search, match *attribution.Match) string {
	switch {
	case match.Err != nil:
		return "it could not be looked up: " + match.Err.Error()
	case match.Person == "" && search.Known():
		return fmt.Sprintf("nothing is known of that person yet; it would wait for %s, and then: %s",
			cfg.Attribution.Wait, cfg.Attribution.Unattributed)
	case match.Person == "":
		return search.Advice()
	case match.At.IsZero():
		return "it would be filled in as _capi has it, on account " + match.Account
	default:
		return fmt.Sprintf("found on account %s, of %s", match.Account, match.At.UTC().Format(time.RFC3339))
	}
}

// withPeople connects to what keeps people.
func (p *program) withPeople(cmd *cobra.Command, work func(ctx context.Context, keeper *people.Keeper) error) error {
	cfg, nats, err := p.connect(connect.Webhooks)
	if err != nil {
		return err
	}
	defer nats.Conn().Close()
	keeper, err := people.Open(cfg, nats)
	if err != nil {
		return err
	}
	defer keeper.Close()
	return nats.Rights.Do(cmd.Context(), func(ctx context.Context) error { return work(ctx, keeper) })
}
