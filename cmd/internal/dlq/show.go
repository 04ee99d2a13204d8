package dlq

import (
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/capi-dispatcher/capi-dispatcher/cmd/internal/exit"
	"github.com/capi-dispatcher/capi-dispatcher/cmd/internal/explain"
	"github.com/capi-dispatcher/capi-dispatcher/cmd/internal/terminal"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/deadletter"
	"github.com/capi-dispatcher/capi-dispatcher/graph"
)

func (v verbs) show() *cobra.Command {
	var asJSON bool
	command := &cobra.Command{
		Use:   "show NUMBER…",
		Short: "Show dead letters: the event, what is wrong with it, what to do",
		Long: `Show dead letters: the event, every fault, what Meta said, and what to do next.
The event is shown as it was published, personal data and all.`,
		Example: "  capi-dispatcher dlq show 17",
		Args:    cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			numbers, err := parseNumbers(args)
			if err != nil {
				return err
			}
			return v.withBox(cmd, func(box *deadletter.Box) error {
				for _, number := range numbers {
					letter, err := box.Get(cmd.Context(), number)
					if err != nil {
						return err
					}
					if asJSON {
						err = json.NewEncoder(cmd.OutOrStdout()).Encode(letter)
					} else {
						err = showLetter(cmd.OutOrStdout(), &letter)
					}
					if err != nil {
						return err
					}
				}
				return nil
			})
		},
	}
	command.Flags().BoolVar(&asJSON, "json", false, "print each letter as a line of JSON")
	return command
}

func parseNumbers(args []string) ([]uint64, error) {
	numbers := make([]uint64, len(args))
	for i, arg := range args {
		number, err := strconv.ParseUint(arg, 10, 64)
		if err != nil || number == 0 {
			return nil, exit.Usage(fmt.Errorf("%q is not the number of a dead letter; `dlq ls` shows them", arg))
		}
		numbers[i] = number
	}
	return numbers, nil
}

// showLetter prints a letter for a person.
func showLetter(out io.Writer, l *deadletter.Letter) error {
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	row := func(name, value string) {
		if value != "" {
			_ = terminal.Row(table, name, value)
		}
	}
	row("number", strconv.FormatUint(l.Sequence, 10))
	row("reason", string(l.Reason)+": "+meaning(l.Reason))
	row("dataset", l.Dataset)
	row("published", fmt.Sprintf("%s, to %s, as message %d", stamp(l.FirstSeen), l.OriginSubject, l.OriginSequence))
	row("dead-lettered", stamp(l.DeadLetteredAt))
	row("requests", requests(l))
	row("beside data", l.Envelope)
	if g := l.Graph; g != nil {
		row("Meta said", g.Message)
		row("fbtrace_id", g.TraceID)
	}
	if err := table.Flush(); err != nil {
		return err
	}
	if len(l.Faults) > 0 {
		fmt.Fprintln(out, "\nfaults")
		for _, fault := range l.Faults {
			fmt.Fprintf(out, "  %-36s %s (%s)\n", terminal.Line(orDash(fault.Pointer)), terminal.Line(fault.Message), terminal.Line(explain.FaultCode(fault)))
		}
	}
	fmt.Fprintf(out, "\nevent\n%s\n\nnext\n  %s\n\n", terminal.JSON(l.Event), advice(l))
	return nil
}

func stamp(at time.Time) string { return at.Local().Format("2006-01-02 15:04:05 MST") }

func requests(l *deadletter.Letter) string {
	if l.MaybeSent == 0 {
		return strconv.Itoa(l.Attempts)
	}
	return fmt.Sprintf("%d, of which %d may have been received by Meta", l.Attempts, l.MaybeSent)
}

// meaning returns what a reason is, in words.
func meaning(reason deadletter.Reason) string {
	switch reason {
	case deadletter.Malformed:
		return "the message is not JSON"
	case deadletter.Invalid:
		return "Meta would refuse the event, and its whole batch with it"
	case deadletter.NoDataset:
		return "nobody knows which dataset the event belongs to"
	case deadletter.TooLarge:
		return "the event does not fit a request, which has batch.max_bytes at the most"
	case deadletter.Expired:
		return "the event is older than Meta accepts"
	case deadletter.Refused:
		return "Meta has refused the event, alone"
	case deadletter.RestrictedRegion:
		return "Meta takes no messaging events of pages and Instagram accounts registered there"
	case deadletter.Unlinked:
		return "the event's account was not linked to the dataset, or not found, for delivery.unlinked_max"
	case deadletter.UnknownOutcome:
		return "Meta may have received the event or not"
	case deadletter.Unattributed:
		return "no webhook has told of the event's click or person, for attribution.wait"
	default:
		return "unknown to this version"
	}
}

// advice returns what to do next.
func advice(l *deadletter.Letter) string {
	again := fmt.Sprintf("capi-dispatcher dlq replay %d", l.Sequence)
	switch l.Reason {
	case deadletter.NoDataset:
		return "name the account under `assets` in the configuration, or publish to a dataset's own subject; then: " + again
	case deadletter.Expired:
		return "nothing: Meta will not take it any more. Find out why it waited for so long"
	case deadletter.RestrictedRegion:
		return "nothing: it is expected for accounts registered in the EU, Norway, Iceland, Liechtenstein, the UK and Japan. Stop publishing them"
	case deadletter.Unlinked:
		return "link the account to the dataset, or name its dataset under `assets`; then: " + again
	case deadletter.Unattributed:
		return "see whether Meta's webhooks come here, and name the person in _capi; when the webhook has come: " + again
	case deadletter.UnknownOutcome:
		return "look the event up in Meta's Events Manager; if it is not there: " + again
	case deadletter.Refused:
		if l.Graph != nil {
			if m, ok := graph.Explain(l.Graph.Code, l.Graph.Subcode); ok {
				return explain.Remedy(m) + "; publish the corrected event, or, if the fault was elsewhere: " + again
			}
		}
		return "see what Meta said; publish the corrected event, or, if the fault was elsewhere: " + again
	default:
		return "correct the producer, and publish the corrected event"
	}
}
