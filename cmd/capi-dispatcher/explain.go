package main

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/capi-dispatcher/capi-dispatcher/graph"
)

func (p *program) explain() *cobra.Command {
	var asJSON bool
	command := &cobra.Command{
		Use:   "explain [CODE[/SUBCODE]]",
		Short: "Explain an error code of Meta's",
		Long: `Explain an error code of Meta's: what it means, what the dispatcher does with
it, and what a person should do. Without a code, list all that are known.`,
		Example: `  capi-dispatcher explain 100/2804066
  capi-dispatcher explain`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return listCodes(cmd.OutOrStdout(), asJSON)
			}
			code, err := parseCode(args[0])
			if err != nil {
				return usageError{err}
			}
			if asJSON {
				return json.NewEncoder(cmd.OutOrStdout()).Encode(explain(code))
			}
			_, err = fmt.Fprint(cmd.OutOrStdout(), explain(code).String())
			return err
		},
	}
	command.Flags().BoolVar(&asJSON, "json", false, "print JSON, a line a code")
	return command
}

func parseCode(text string) (graph.ErrorCode, error) {
	first, second, both := strings.Cut(text, "/")
	code, err := strconv.ParseUint(first, 10, 31)
	var subcode uint64
	if err == nil && both {
		subcode, err = strconv.ParseUint(second, 10, 31)
	}
	if err != nil {
		return graph.ErrorCode{}, fmt.Errorf("%q is not of the form 100 or 100/2804066", text)
	}
	return graph.ErrorCode{Code: int(code), Subcode: int(subcode)}, nil
}

// explanation is what there is to say of a code.
type explanation struct {
	Code    int `json:"code"`
	Subcode int `json:"subcode,omitempty"`
	// Known tells that the code is known; KnownSubcode that the subcode is,
	// too, or that there is none.
	Known        bool   `json:"known"`
	KnownSubcode bool   `json:"known_subcode"`
	Verdict      string `json:"verdict,omitempty"`
	PerAsset     bool   `json:"per_asset,omitempty"`
	Title        string `json:"title"`
	Dispatcher   string `json:"dispatcher"`
	Advice       string `json:"advice"`
}

func explain(code graph.ErrorCode) explanation {
	e := explanation{Code: code.Code, Subcode: code.Subcode}
	meaning, known := graph.Explain(code.Code, code.Subcode)
	if !known {
		e.Title, e.Dispatcher, e.Advice = "not known to this version", byStatus, "see Meta's message, which is in the dead letter"
		return e
	}
	e.Known, e.KnownSubcode = true, code.Subcode == 0 || slices.Contains(graph.ErrorCodes(), code)
	e.Verdict, e.PerAsset = meaning.Verdict.String(), meaning.PerAsset
	e.Title, e.Dispatcher, e.Advice = meaning.Title, reaction(meaning), meaning.Advice
	return e
}

func (e explanation) String() string {
	var note string
	if e.Known && !e.KnownSubcode {
		note = fmt.Sprintf(" (subcode %d is not known; this is code %d)", e.Subcode, e.Code)
	}
	return fmt.Sprintf("%s: %s%s\n\nThe dispatcher %s.\nYou: %s.\n",
		graph.ErrorCode{Code: e.Code, Subcode: e.Subcode}, e.Title, note, e.Dispatcher, e.Advice)
}

// reaction is what the dispatcher does, in words.
func reaction(m graph.Meaning) string {
	switch {
	case m.PerAsset:
		return "sets the events of this account apart and parks them, sends the dataset's others, and tries again by itself"
	case m.Verdict == graph.Retry:
		return "tries the request again, waiting longer each time; then it parks the events, and goes on until they are too old for Meta"
	case m.Verdict == graph.Throttled:
		return "waits for as long as Meta asks, or longer each time, and parks the dataset's events if that takes long"
	case m.Verdict == graph.Paused:
		return "pauses the dataset and parks its events; it tries again by itself, and soon after a token file has changed"
	default:
		return "halves the batch until the culprit is alone, dead-letters that event as refused, and sends the others"
	}
}

// byStatus is what is done with an error of unknown code.
const byStatus = "goes by the rest of the answer: is_transient, or HTTP 5xx: it tries again; 429: it waits and slows down; " +
	"401 or 403: it pauses the dataset; anything else: it halves the batch and dead-letters the culprit"

func listCodes(out io.Writer, asJSON bool) error {
	if asJSON {
		encoder := json.NewEncoder(out)
		for _, code := range graph.ErrorCodes() {
			if err := encoder.Encode(explain(code)); err != nil {
				return err
			}
		}
		return nil
	}
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	_ = writeRow(table, "CODE", "VERDICT", "MEANING")
	for _, code := range graph.ErrorCodes() {
		e := explain(code)
		if err := writeRow(table, code.String(), e.Verdict, e.Title); err != nil {
			return err
		}
	}
	return table.Flush()
}
