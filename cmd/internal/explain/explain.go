// Package explain puts errors of Meta's, and faults of events, into words: what
// they mean, what the dispatcher does with them, and what a person should do.
package explain

import (
	"fmt"
	"slices"

	"github.com/capi-dispatcher/capi-dispatcher/cmd/internal/terminal"
	"github.com/capi-dispatcher/capi-dispatcher/graph"
	"github.com/capi-dispatcher/capi-dispatcher/graph/event"
)

// Explanation is what there is to say of a code.
type Explanation struct {
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

// Of explains a code.
func Of(code graph.ErrorCode) Explanation {
	e := Explanation{Code: code.Code, Subcode: code.Subcode}
	meaning, known := graph.Explain(code.Code, code.Subcode)
	if !known {
		e.Title, e.Dispatcher, e.Advice = "not known to this version", ByStatus,
			"see Meta's message, which is in the dead letter"
		return e
	}
	e.Known, e.KnownSubcode = true, code.Subcode == 0 || slices.Contains(graph.ErrorCodes(), code)
	e.Verdict, e.PerAsset = meaning.Verdict.String(), meaning.PerAsset
	e.Title, e.Dispatcher, e.Advice = meaning.Title, Reaction(meaning), Remedy(meaning)
	return e
}

// Explain explains an error. What its words or its is_transient tell goes before
// what its code says.
func (p *Pasted) Explain() Explanation {
	e := Of(p.code)
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
		e.Dispatcher = Reaction(graph.Meaning{Verdict: p.answer.Verdict})
		e.Advice = "let graph.app_secret_file hold the secret of the app that the token belongs to"
	case p.answer.Error.Transient && p.answer.Verdict == graph.Retry:
		e.Verdict, e.PerAsset = p.answer.Verdict.String(), false
		e.Dispatcher = Reaction(graph.Meaning{Verdict: p.answer.Verdict}) + ", because it says is_transient"
		e.Advice = "nothing, unless it lasts; then: " + e.Advice
	}
	return e
}

func (e Explanation) String() string {
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

// Reaction is what the dispatcher does, in words.
func Reaction(m graph.Meaning) string {
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

// Remedy is what a person should do, with the key of the setting that can help.
func Remedy(m graph.Meaning) string {
	if m.Setting == "" {
		return m.Advice
	}
	return m.Advice + " (graph." + m.Setting + ")"
}

// ByStatus is what is done with an error of unknown code.
const ByStatus = "goes by the rest of the answer: is_transient, or HTTP 5xx: it tries again; 429: it waits and slows down; " +
	"401 or 403: it pauses the dataset; anything else: it halves the batch and dead-letters the culprit"

// FaultCode names a fault's kind, and what Meta would have called it.
func FaultCode(fault event.Fault) string {
	if fault.Subcode == 0 {
		return string(fault.Code)
	}
	return fmt.Sprintf("%s; Meta: 100/%d", fault.Code, fault.Subcode)
}
