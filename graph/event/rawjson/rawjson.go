// Package rawjson reads and edits JSON byte by byte, so that what is not changed
// stays as it came.
package rawjson

import (
	"bytes"

	"github.com/go-json-experiment/json/jsontext"
)

// Unquote returns the text of a JSON string that is known to be valid. It
// copies only where there is an escape to undo.
func Unquote(quoted []byte) []byte {
	if bytes.IndexByte(quoted, '\\') < 0 {
		return quoted[1 : len(quoted)-1]
	}
	text, err := jsontext.AppendUnquote(nil, quoted)
	if err != nil { // unreachable: the decoder has validated it
		return quoted
	}
	return text
}

// Inner returns the text of a string, and any other value as it is spelled.
func Inner(value jsontext.Value) []byte {
	if value.Kind() == '"' {
		return Unquote(value)
	}
	return value
}
