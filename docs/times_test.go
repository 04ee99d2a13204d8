package docs_test

import (
	"os"
	"regexp"
	"testing"

	"github.com/stretchr/testify/require"
)

// howLong finds how long something takes.
var howLong = regexp.MustCompile(`half a minute|a minute|\w+ minutes`)

// How long a target takes is said alike wherever it is said.
func TestTimesAgree(t *testing.T) {
	t.Parallel()
	makefile := read(t, "../Makefile")
	help := make(map[string]string)
	for _, target := range regexp.MustCompile(`(?m)^([a-z0-9-]+):.*## (.*)$`).FindAllStringSubmatch(makefile, -1) {
		help[target[1]] = howLong.FindString(target[2])
	}
	compared := 0
	for _, file := range []string{"../README.md", "../CONTRIBUTING.md"} {
		for _, line := range regexp.MustCompile(`(?m)^\$ make ([a-z0-9-]+) +# (.*)$`).FindAllStringSubmatch(read(t, file), -1) {
			if said := howLong.FindString(line[2]); said != "" {
				require.Equal(t, help[line[1]], said, "%s: make %s", file, line[1])
				compared++
			}
		}
	}
	require.GreaterOrEqual(t, compared, 4)
}

// The tokens that the README has somebody write are not committed.
func TestTokensAreIgnored(t *testing.T) {
	t.Parallel()
	require.Contains(t, read(t, "../README.md"), "> tokens/")
	require.Contains(t, read(t, "../.gitignore"), "\n/tokens/\n")
}

func read(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	return string(text)
}
