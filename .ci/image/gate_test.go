package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// What the gate could not check is in its last line, where it is seen; what
// failed ends it.
func TestTheGateSaysLastWhatItCouldNotCheck(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		fails, last string // the command that fails, and the last line; empty: the gate fails
	}{
		"all is well":     {"nothing", "all checks passed"},
		"no database":     {"make vuln-database", "passed; NOT CHECKED: known vulnerabilities (no database)"},
		"no engine":       {"docker info", "passed; NOT CHECKED: Dockerfile (no container engine)"},
		"neither":         {"make vuln-database|docker info", "passed; NOT CHECKED: known vulnerabilities (no database), Dockerfile (no container engine)"},
		"findings":        {"make lint", ""},
		"vulnerabilities": {"make vuln", ""},
		"a test":          {"make test", ""},
		"the image":       {"make image-test", ""},
		"Dockerfile":      {"docker build .", ""},
		"the last check":  {"make cluster-test", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			out, err := gate(t, c.fails)
			require.Equal(t, c.last != "", err == nil, "%v: %s", err, out)
			if c.last != "" {
				lines := strings.Split(strings.TrimSpace(out), "\n")
				require.Equal(t, c.last, lines[len(lines)-1])
			}
			require.NotContains(t, strings.TrimSuffix(out, c.last+"\n"), "passed")
		})
	}
}

// gate runs .ci/run with commands that do nothing; those named fail.
func gate(t *testing.T, fails string) (string, error) {
	t.Helper()
	bin := t.TempDir()
	for _, name := range []string{"make", "docker"} {
		script := "#!/bin/sh\necho \"" + name + " $*\"\ncase \"" + name + " $*\" in \"" + strings.ReplaceAll(fails, "|", "\"|\"") + "\") exit 1;; esac\n"
		require.NoError(t, os.WriteFile(filepath.Join(bin, name), []byte(script), 0o700))
	}
	cmd := exec.CommandContext(t.Context(), "sh", "../run")
	cmd.Env = append(os.Environ(), "PATH="+bin+":"+os.Getenv("PATH"))
	out, err := cmd.CombinedOutput()
	return string(out), err
}
