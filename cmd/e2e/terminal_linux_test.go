package e2e_test

import (
	"fmt"
	"os"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// On a terminal the answer decides.
func TestRemovingIsConfirmed(t *testing.T) {
	t.Parallel()
	r := setup(t)
	r.storeLetters(1, 1)
	for _, answer := range []string{"\n", "no\n", "yesterday\n"} {
		_, stderr, code := r.runWith(terminal(t, answer), "dlq", "rm", "1")
		require.Equal(t, 1, code, stderr)
		require.Equal(t, "Remove them for good? [y/N] nothing is removed\n", stderr)
	}
	require.Equal(t, 2, r.size("CAPI_DLQ"))
	for number, answer := range map[string]string{"1": "y\n", "2": "Yes\n"} {
		stdout, stderr, code := r.runWith(terminal(t, answer), "dlq", "rm", number)
		require.Zero(t, code, stderr)
		require.Contains(t, stdout, "1 of 1 letter removed\n")
	}
	require.Zero(t, r.size("CAPI_DLQ"))
}

// terminal is a terminal on which somebody has typed.
func terminal(t *testing.T, typed string) *os.File {
	t.Helper()
	person, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	require.NoError(t, err)
	t.Cleanup(func() { _ = person.Close() })
	require.NoError(t, unix.IoctlSetPointerInt(int(person.Fd()), unix.TIOCSPTLCK, 0))
	number, err := unix.IoctlGetInt(int(person.Fd()), unix.TIOCGPTN)
	require.NoError(t, err)
	program, err := os.OpenFile(fmt.Sprint("/dev/pts/", number), os.O_RDWR|unix.O_NOCTTY, 0)
	require.NoError(t, err)
	t.Cleanup(func() { _ = program.Close() })
	_, err = person.WriteString(typed)
	require.NoError(t, err)
	return program
}
