package main

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"text/tabwriter"

	"github.com/spf13/cobra"

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
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return listCodes(cmd.OutOrStdout(), asJSON)
			}
			text, err := textOf(args[0], cmd.InOrStdin())
			if err != nil {
				return err
			}
			found, err := readPasted(text)
			if err != nil {
				return usageError{err}
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

func show(out io.Writer, found []pasted, asJSON bool) error {
	for i, p := range found {
		explained := p.explain()
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

// explanation is what there is to say of a code.
type explanation struct {
	Code    int `json:"code"`
	Subcode int `json:"subcode,omitempty"`
	// Known says that the code is known; KnownSubcode that the subcode is,
	// too, or that there is none.
	Known        bool   `json:"known"`
	KnownSubcode bool   `json:"known_subcode"`
	Verdict      string `json:"verdict,omitempty"`
	PerAsset     bool   `json:"per_asset,omitempty"`
	Title        string `json:"title"`
	// Said is what Meta said, where that is at hand.
	Said       string `json:"said,omitempty"`
	Dispatcher string `json:"dispatcher"`
	Advice     string `json:"advice"`
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
	e.Title, e.Dispatcher, e.Advice = meaning.Title, reaction(meaning), remedy(meaning)
	return e
}

// explain explains an error. What its words or its is_transient tell goes before
// what its code says.
func (p *pasted) explain() explanation {
	e := explain(p.code)
	if p.answer == nil {
		return e
	}
	e.Said = p.answer.Error.Words()
	switch {
	case p.answer.Restricted:
		e.Title, e.Verdict = "messaging event within a restrictive region", p.answer.Verdict.String()
		e.Dispatcher = "dead-letters the event as restricted_region, and sends the others"
		e.Advice = "name the account's country under assets, and no request is lost on its events; Meta takes none of them"
	case p.answer.ProofError:
		e.Title, e.Verdict = "appsecret_proof missing or wrong", p.answer.Verdict.String()
		e.Dispatcher = reaction(graph.Meaning{Verdict: p.answer.Verdict})
		e.Advice = "let graph.app_secret_file hold the secret of the app that the token belongs to"
	case p.answer.Error.Transient && p.answer.Verdict == graph.Retry:
		e.Verdict, e.PerAsset = p.answer.Verdict.String(), false
		e.Dispatcher = reaction(graph.Meaning{Verdict: p.answer.Verdict}) + ", because it says is_transient"
		e.Advice = "nothing, unless it lasts; then: " + e.Advice
	}
	return e
}

func (e explanation) String() string {
	var note string
	if e.Known && !e.KnownSubcode {
		note = fmt.Sprintf(" (subcode %d is not known; this is code %d)", e.Subcode, e.Code)
	}
	text := fmt.Sprintf("%s: %s%s\n\nThe dispatcher %s.\nYou: %s.\n",
		graph.ErrorCode{Code: e.Code, Subcode: e.Subcode}, e.Title, note, e.Dispatcher, e.Advice)
	if e.Said != "" {
		text += "Meta said: " + terminal.Line(e.Said) + "\n"
	}
	return text
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

// remedy is what a person should do, with the key of the setting that can help.
func remedy(m graph.Meaning) string {
	if m.Setting == "" {
		return m.Advice
	}
	return m.Advice + " (graph." + m.Setting + ")"
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
