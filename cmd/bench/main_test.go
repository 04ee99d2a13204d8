package main

import (
	"os"
	"testing"

	"go.uber.org/goleak"

	"github.com/capi-dispatcher/capi-dispatcher/dedupe/dedupetest"
)

// TestMain is the program itself where that runs itself again: in a test, that is
// the test.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && (os.Args[1] == "receiver" || os.Args[1] == "ceiling") {
		main()
		return
	}
	goleak.VerifyTestMain(m, dedupetest.DialRetry())
}
