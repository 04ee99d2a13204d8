package cluster_test

import (
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// documentedRights are the smallest rights of a worker in docs/deploy.md, and
// those that whoever makes the streams needs besides.
func documentedRights(t *testing.T) (worker, streams []string) {
	t.Helper()
	_, text, found := strings.Cut(readFile(t, "../../docs/deploy.md"), "**Who may do what.**")
	require.True(t, found)
	text, _, _ = strings.Cut(text, "\n## ")
	table, rest, found := strings.Cut(text, "and to subscribe, `_INBOX.>`.")
	require.True(t, found, "the right to subscribe")
	subject := regexp.MustCompile("`([^`]+)`")
	for row := range strings.SplitSeq(table, "\n") {
		if cells := strings.Split(row, "|"); len(cells) == 4 {
			worker = append(worker, names(subject, cells[1])...)
		}
	}
	sentence := regexp.MustCompile(`To create streams and consumers: [^\n]*`).FindString(rest)
	return worker, names(subject, sentence)
}

func names(pattern *regexp.Regexp, text string) (found []string) {
	for _, match := range pattern.FindAllStringSubmatch(text, -1) {
		found = append(found, match[1])
	}
	return found
}
