package porttest_test

import (
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/capi-dispatcher/capi-dispatcher/internal/porttest"
)

// many is so many ports that chance alone would give some of them twice.
const many = 1500

// No port is given twice while a test has it, neither in this process nor in
// another.
func TestAPortIsOneTestsAlone(t *testing.T) {
	t.Parallel()
	given := make(map[string]bool)
	note := func(port string) {
		require.False(t, given[port], port)
		given[port] = true
	}
	for range many {
		note(strconv.Itoa(porttest.Port(t)))
	}
	command := exec.CommandContext(t.Context(), os.Args[0], "-test.run", "^TestPortsOfAnotherProcess$")
	command.Env = append(os.Environ(), "PORTS_OF_ANOTHER_PROCESS=1")
	out, err := command.Output()
	require.NoError(t, err)
	for line := range strings.Lines(string(out)) {
		if port, found := strings.CutPrefix(strings.TrimSpace(line), "port "); found {
			note(port)
		}
	}
	require.Len(t, given, 2*many)
}

// TestPortsOfAnotherProcess is what the other process does.
func TestPortsOfAnotherProcess(t *testing.T) {
	if os.Getenv("PORTS_OF_ANOTHER_PROCESS") == "" {
		return
	}
	for range many {
		_, err := os.Stdout.WriteString("port " + strconv.Itoa(porttest.Port(t)) + "\n")
		require.NoError(t, err)
	}
}

// A port is free again when its test has ended.
func TestAPortIsGivenBack(t *testing.T) {
	t.Parallel()
	t.Run("a test", func(t *testing.T) {
		for range many {
			porttest.Port(t)
		}
	})
	for range many {
		porttest.Port(t)
	}
}
