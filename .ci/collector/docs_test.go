package main_test

import (
	"encoding/hex"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const page = "../../docs/traces.md"

// The configuration of the Collector that is shown is the one that is tested.
func TestTheDocumentedCollector(t *testing.T) {
	t.Parallel()
	doc, err := os.ReadFile(page)
	require.NoError(t, err)
	config, err := os.ReadFile("collector.yaml")
	require.NoError(t, err)
	require.Contains(t, string(doc), "```yaml\n"+string(config)+"```\n")
}

// requireDocumented makes sure that a trace is shown as it is.
func requireDocumented(t *testing.T, spans trace) {
	t.Helper()
	doc, err := os.ReadFile(page)
	require.NoError(t, err)
	require.Contains(t, string(doc), "```text\n"+spans.tree()+"```\n")
}

// tree draws the spans of a trace, each below its parent.
func (t trace) tree() string {
	var out strings.Builder
	out.WriteString("your span\n")
	t.draw(&out, producerSpan, "")
	return out.String()
}

func (t trace) draw(out *strings.Builder, parent, indent string) {
	var children trace
	for _, s := range t {
		if hex.EncodeToString(s.GetParentSpanId()) == parent {
			children = append(children, s)
		}
	}
	for i, s := range children {
		branch, below := "├─ ", "│  "
		if i == len(children)-1 {
			branch, below = "└─ ", "   "
		}
		fmt.Fprintf(out, "%s%s%s\n", indent, branch, s.line())
		t.draw(out, hex.EncodeToString(s.GetSpanId()), indent+below)
	}
}

// line is a span in a line, with what happened in it.
func (s *span) line() string {
	var out strings.Builder
	out.WriteString(s.GetName())
	if outcome := s.text("capi.outcome"); outcome != "" {
		fmt.Fprintf(&out, ": %s", outcome)
	}
	if verdict := s.text("capi.verdict"); verdict != "" {
		fmt.Fprintf(&out, ": %s, events: %d", verdict, s.value("capi.events").GetIntValue())
	}
	for _, e := range s.GetEvents() {
		fmt.Fprintf(&out, " · %s", strings.TrimPrefix(e.GetName(), "capi."))
		for _, key := range []string{"capi.claim.state", "capi.reason", "capi.lookup.result", "capi.wake.how"} {
			if value := valueIn(e.GetAttributes(), key).GetStringValue(); value != "" {
				fmt.Fprintf(&out, " %s", value)
			}
		}
	}
	return out.String()
}
