package terminal_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/capi-dispatcher/capi-dispatcher/cmd/internal/terminal"
)

func TestExcerpts(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		groups, lines int // lines of each group
		whole         bool
		printed       int
		last          string
	}{
		"nothing":           {0, 0, false, 0, ""},
		"few":               {5, 5, false, 25, "line 5: fault 5"},
		"a long group":      {1, 700, false, 11, "line 1: … and 690 more: --all prints them"},
		"many groups":       {2500, 1, false, 51, "… and 2450 more lines: --all prints them"},
		"many long groups":  {100, 20, false, 51, "… and 1914 more lines: --all prints them"},
		"all of it":         {100, 20, true, 2000, "line 100: fault 20"},
		"exactly the bound": {5, 10, false, 50, "line 5: fault 10"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var printed []string
			excerpt := terminal.NewExcerpt(tc.whole, func(line string) error {
				printed = append(printed, line)
				return nil
			})
			for group := range tc.groups {
				place := fmt.Sprint("line ", group+1)
				for line := range tc.lines {
					require.NoError(t, excerpt.Print(place, fmt.Sprintf("%s: fault %d", place, line+1)))
				}
			}
			require.NoError(t, excerpt.End())
			require.Len(t, printed, tc.printed)
			if tc.last != "" {
				require.Equal(t, tc.last, printed[len(printed)-1])
			}
		})
	}
}

func TestExcerptsPassErrorsOn(t *testing.T) {
	t.Parallel()
	excerpt := terminal.NewExcerpt(false, func(string) error { return errors.New("broken") })
	require.Error(t, excerpt.Print("a", "line"))
}
