package docs_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// The documents show what they say by tests and benchmarks: each one that they name
// is there.
func TestTestsThatAreNamedExist(t *testing.T) {
	t.Parallel()
	declared := make(map[string]bool)
	declaration, named := regexp.MustCompile(`(?m)^func ((?:Test|Benchmark|Fuzz)\w+)\(`), regexp.MustCompile("`((?:Test|Benchmark|Fuzz)[A-Z]\\w+)`")
	require.NoError(t, filepath.WalkDir("..", func(path string, _ fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		text, err := os.ReadFile(path)
		for _, found := range declaration.FindAllSubmatch(text, -1) {
			declared[string(found[1])] = true
		}
		return err
	}))
	count := 0
	for _, file := range documents(t) {
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		for _, found := range named.FindAllSubmatch(text, -1) {
			count++
			require.True(t, declared[string(found[1])], "%s names %s, which is not there", file, found[1])
		}
	}
	require.Greater(t, count, 50, "where are they?")
}
