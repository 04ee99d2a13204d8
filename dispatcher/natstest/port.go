package natstest

import (
	"testing"

	"github.com/capi-dispatcher/capi-dispatcher/internal/porttest"
)

// Port is [porttest.Port].
func Port(tb testing.TB) int {
	tb.Helper()
	return porttest.Port(tb)
}
