package dlq

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/capi-dispatcher/capi-dispatcher/cmd/internal/terminal"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/deadletter"
	"github.com/capi-dispatcher/capi-dispatcher/graph/event"
)

func (v verbs) list() *cobra.Command {
	var flags filterFlags
	var asJSON bool
	command := &cobra.Command{
		Use:   "ls",
		Short: "List dead letters, oldest first",
		Example: `  capi-dispatcher dlq ls --since 24h
  capi-dispatcher dlq ls --reason refused --code 100/2804066 --json | jq .event`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			filter, err := flags.filter(time.Now())
			if err != nil {
				return err
			}
			return v.withBox(cmd, func(box *deadletter.Box) error {
				if asJSON {
					encoder := json.NewEncoder(cmd.OutOrStdout())
					_, err = box.Each(cmd.Context(), filter, func(l deadletter.Letter) error { return encoder.Encode(l) })
					return err
				}
				return listLetters(cmd, box, filter)
			})
		},
	}
	flags.add(command)
	command.Flags().BoolVar(&asJSON, "json", false, "print each letter as a line of JSON, event and all")
	return command
}

func listLetters(cmd *cobra.Command, box *deadletter.Box, filter deadletter.Filter) error {
	table := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
	shown, now := 0, time.Now()
	strangers, err := box.Each(cmd.Context(), filter, func(l deadletter.Letter) error {
		if shown == 0 {
			_ = terminal.Row(table, "NUMBER", "AGE", "DATASET", "REASON", "TRIED", "EVENT", "WHY")
		}
		shown++
		return terminal.Row(table, strconv.FormatUint(l.Sequence, 10), age(now, l.DeadLetteredAt), orDash(l.Dataset),
			string(l.Reason), strconv.Itoa(l.Attempts), orDash(shorten(eventName(&l), 40)), shorten(why(&l), 70))
	})
	if err != nil {
		return err
	}
	if err := table.Flush(); err != nil {
		return err
	}
	if shown == 0 {
		cmd.PrintErrln("no dead letters")
	}
	if strangers > 0 {
		cmd.PrintErrf("%d messages in the stream are no dead letters of this program\n", strangers)
	}
	return nil
}

// why is the shortest thing that helps.
func why(l *deadletter.Letter) string {
	switch {
	case len(l.Faults) == 1:
		return strings.TrimSpace(l.Faults[0].Pointer + " " + l.Faults[0].Message)
	case len(l.Faults) > 1:
		return fmt.Sprintf("%d faults: %s, …", len(l.Faults), l.Faults[0].Message)
	case l.Graph != nil:
		return l.Graph.Message
	default:
		return ""
	}
}

// eventName is the name of a letter's event; of several, that of the first and
// how many there are.
func eventName(l *deadletter.Letter) string {
	request, err := event.NewDecoder(event.DefaultRules()).Decode(l.Event)
	if err != nil {
		return ""
	}
	name := request.Events[0].Name
	if others := len(l.Places) - 1; others > 0 {
		return fmt.Sprintf("%s and %d others", orDash(shorten(name, 25)), others)
	}
	return name
}

func age(now, then time.Time) string {
	switch d := now.Sub(then); {
	case d < time.Minute:
		return fmt.Sprintf("%ds", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%dm", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh", int(d.Hours()))
	default:
		return fmt.Sprintf("%dd", int(d.Hours()/24))
	}
}

func orDash(text string) string {
	if text == "" {
		return "-"
	}
	return text
}

func shorten(text string, most int) string {
	runes := []rune(strings.Join(strings.Fields(text), " "))
	if len(runes) <= most {
		return string(runes)
	}
	return string(runes[:most-1]) + "…"
}
