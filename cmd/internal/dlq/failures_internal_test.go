package dlq

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestFailuresAreSummedUp(t *testing.T) {
	t.Parallel()
	var f failures
	for i := range 1000 {
		f.add(fmt.Errorf("replaying dead letter %d: %w", i, context.DeadlineExceeded))
	}
	f.add(errors.New("dead letter 7 holds only a part of the event"))
	require.Equal(t, 1001, f.total)
	require.Equal(t, "\n  replaying dead letter 0: context deadline exceeded (and 999 more like this)"+
		"\n  dead letter 7 holds only a part of the event", f.Error())
	require.ErrorIs(t, &f, context.DeadlineExceeded)
	for _, kind := range []string{"a", "b", "c", "d", "d", "e"} {
		f.add(errors.New("fault " + kind))
	}
	require.Contains(t, f.Error(), "\n  fault c\n  … and 3 for other reasons")
	require.NotContains(t, f.Error(), "fault d")
}
