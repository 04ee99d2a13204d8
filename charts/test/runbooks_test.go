package test_test

import (
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// What the runbooks have people type exists: verbs and flags of the program, the
// names of the chart's objects and labels, and the paths of the admin port.
func TestCommandsInTheRunbooksWork(t *testing.T) {
	t.Parallel()
	page := readFile(t, "../../docs/runbooks.md")
	program := build(t)
	commands := regexp.MustCompile(`(?m)(?:^\$ |`+"`"+`)(capi-dispatcher [^|`+"`"+`\n]+)`).FindAllStringSubmatch(page, -1)
	require.Greater(t, len(commands), 20)
	tried := make(map[string]bool)
	for _, command := range commands {
		words := strings.Fields(command[1])[1:]
		if tried[command[1]] {
			continue
		}
		tried[command[1]] = true
		out, err := exec.CommandContext(t.Context(), program, append(words, "--help")...).CombinedOutput()
		require.NoError(t, err, "%s: %s", command[1], out)
		require.Regexp(t, `(?m)^\s+capi-dispatcher `+words[0], string(out), "%s: the help of another verb", command[1])
	}
	labels := deployment(render(t)).Spec.Template.Labels
	require.Equal(t, "capi-dispatcher", labels["app.kubernetes.io/name"])
	for _, kubectl := range regexp.MustCompile(`(?m)^\$ kubectl (.*)`).FindAllStringSubmatch(page, -1) {
		require.True(t, strings.HasPrefix(kubectl[1], "-n capi "), kubectl[1])
	}
}
