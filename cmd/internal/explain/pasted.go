package explain

import (
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"strconv"
	"strings"

	"github.com/capi-dispatcher/capi-dispatcher/graph"
)

// Pasted is an error as a person has it at hand.
type Pasted struct {
	code graph.ErrorCode
	// answer is what the dispatcher makes of it; nil if only the code is known.
	answer *graph.Answer
}

var (
	bareCode   = regexp.MustCompile(`^(\d{1,9})(?:\s*/\s*(\d{1,9}))?$`)
	hashedCode = regexp.MustCompile(`\(#(\d{1,9})\)`)
	slashCode  = regexp.MustCompile(`\b(\d{1,9})/(\d{1,9})\b`)
	namedCode  = regexp.MustCompile(`(?i)(?:^|[^_a-z])(?:error_?)?code\W{1,8}(\d{1,9})`)
	namedSub   = regexp.MustCompile(`(?i)(?:error_?)?subcode\W{1,8}(\d{1,9})`)
)

// Read reads what people copy out of logs and answers: 2804066,
// 100/2804066, (#100) and what follows, or a whole answer of Meta's, with
// anything around it. A subcode alone may belong to several codes.
func Read(text string) ([]Pasted, error) {
	text = strings.TrimSpace(text)
	if found := bareCode.FindStringSubmatch(text); found != nil {
		return readCode(found[1], found[2]), nil
	}
	if answer := findAnswer(text); answer != nil {
		return []Pasted{judged(answer)}, nil
	}
	if found := hashedCode.FindStringSubmatch(text); found != nil {
		said, _ := json.Marshal(map[string]any{"error": map[string]any{
			"message": text,
			"code":    json.Number(strings.TrimLeft(found[1], "0")),
		}})
		if answer := findAnswer(string(said)); answer != nil {
			return []Pasted{judged(answer)}, nil
		}
	}
	if found := slashCode.FindStringSubmatch(text); found != nil {
		return readCode(found[1], found[2]), nil
	}
	if found := namedCode.FindStringSubmatch(text); found != nil {
		return readCode(found[1], firstOf(namedSub.FindStringSubmatch(text))), nil
	}
	return nil, fmt.Errorf("%q holds no error code; expected 2804066, 100/2804066, (#100) …, or an answer of Meta's as JSON", shortened(text))
}

func judged(answer *graph.Answer) Pasted {
	return Pasted{code: graph.ErrorCode{Code: answer.Error.Code, Subcode: answer.Error.Subcode}, answer: answer}
}

// readCode reads a code and a subcode, or a number that may be either.
func readCode(first, second string) []Pasted {
	code, _ := strconv.Atoi(first) // of nine digits at the most
	subcode, _ := strconv.Atoi(second)
	if _, known := graph.Explain(code, 0); known || second != "" {
		return []Pasted{{code: graph.ErrorCode{Code: code, Subcode: subcode}}}
	}
	var all []Pasted
	for _, known := range graph.ErrorCodes() {
		if known.Subcode == code {
			all = append(all, Pasted{code: known})
		}
	}
	switch {
	case len(all) > 0:
		return all
	case code/1000 == eventSubcodes:
		return []Pasted{{code: graph.ErrorCode{Code: 100, Subcode: code}}}
	default:
		return []Pasted{{code: graph.ErrorCode{Code: code}}}
	}
}

// eventSubcodes is what the subcodes of event errors begin with: 2804066. They
// belong to code 100.
const eventSubcodes = 2804

// findAnswer finds an answer of Meta's with an error in it, or an error alone,
// in a text.
func findAnswer(text string) *graph.Answer {
	for at := strings.IndexByte(text, '{'); at >= 0; {
		var value json.RawMessage
		if json.NewDecoder(strings.NewReader(text[at:])).Decode(&value) == nil {
			for _, body := range []string{string(value), `{"error":` + string(value) + `}`} {
				// The status is not known; a bad request is what says least.
				answer := graph.Judge(http.StatusBadRequest, nil, []byte(body), 1)
				if e := answer.Error; e != nil && e.Code != 0 && e.Words() != "" {
					return &answer
				}
			}
		}
		next := strings.IndexByte(text[at+1:], '{')
		if next < 0 {
			return nil
		}
		at += 1 + next
	}
	return nil
}

func firstOf(found []string) string {
	if found == nil {
		return ""
	}
	return found[1]
}

func shortened(text string) string {
	const most = 60
	if len(text) <= most {
		return text
	}
	return strings.ToValidUTF8(text[:most], "") + "…"
}
