package terminal

import (
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

// Row writes a row of a table. No cell can be more than one.
func Row(table io.Writer, cells ...string) error {
	for i, cell := range cells {
		cells[i] = Line(cell)
	}
	_, err := fmt.Fprintln(table, strings.Join(cells, "\t"))
	return err
}

// JSON returns an event with indents, and what is no JSON as it is, in quotes.
func JSON(event []byte) string {
	value := jsontext.Value(append([]byte(nil), event...))
	err := value.Indent(jsontext.WithIndent("  "), jsontext.WithIndentPrefix("  "), jsontext.PreserveRawStrings(true))
	if err != nil {
		return "  " + strconv.Quote(string(event))
	}
	return "  " + string(value)
}

// Count returns "1 event", "2 events".
func Count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
