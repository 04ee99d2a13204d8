package faults_test

import (
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/capi-dispatcher/capi-dispatcher/internal/faults"
)

// All faults are reported, each with its key, and nothing else.
func TestAllAreReported(t *testing.T) {
	t.Parallel()
	var list faults.List
	list.Check(true, "fine", "never")
	require.NoError(t, list.Join())
	cause := errors.New("cause")
	list.Check(false, "size", "%d is less than %d", 1, 2)
	list.Check(false, "name", "is missing: %w", cause)
	require.EqualError(t, list.Join(), "size: 1 is less than 2\nname: is missing: cause")
	require.ErrorIs(t, list.Join(), cause)
}
