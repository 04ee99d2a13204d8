package redact_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/capi-dispatcher/capi-dispatcher/graph/event/redact"
)

// one is the only secret.
type one string

func (o one) Any() bool              { return true }
func (o one) Holds(text []byte) bool { return string(text) == string(o) }

// A secret is found between two marks that set words apart, and these are the marks.
func TestMarksThatSetWordsApart(t *testing.T) {
	t.Parallel()
	const marks = "\"'\\ \t\r\n&=,;?#<>{}()[]"
	const secret = "a-secret-of-an-unusual-form"
	for c := range 256 {
		mark := string([]byte{byte(c)})
		_, found := redact.Text([]byte("x"+mark+secret+mark+"x"), one(secret))
		require.Equal(t, strings.IndexByte(marks, byte(c)) >= 0, found == 1, "%q", mark)
	}
}
