package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"maps"
	"os"
	"slices"

	"github.com/spf13/cobra"

	"github.com/capi-dispatcher/capi-dispatcher/cmd/internal/exit"
	"github.com/capi-dispatcher/capi-dispatcher/cmd/internal/terminal"
	"github.com/capi-dispatcher/capi-dispatcher/graph/event"
)

// withInput has a file read, or the standard input if its name is -. The size is
// -1 where it is not known.
func withInput(cmd *cobra.Command, name string, read func(in io.Reader, size int64) error) error {
	if name == "-" {
		return read(interruptible(cmd.Context(), cmd.InOrStdin()), -1)
	}
	file, err := os.Open(name)
	if err != nil {
		return exit.Usage(errors.New(terminal.Line(err.Error()))) // the name may come from elsewhere
	}
	defer func() { _ = file.Close() }()
	info, err := file.Stat()
	if err != nil {
		return err
	}
	if info.IsDir() {
		return exit.Usage(fmt.Errorf("%s is a directory; name a file", terminal.Line(name)))
	}
	return read(file, info.Size())
}

// interruptible is an input that ends when ctx does, in the middle of a wait for
// somebody who types. What was begun until then is no record.
func interruptible(ctx context.Context, in io.Reader) io.Reader {
	reader, writer := io.Pipe()
	go func() {
		_, err := io.Copy(writer, in)
		_ = writer.CloseWithError(err)
	}()
	context.AfterFunc(ctx, func() { _ = writer.CloseWithError(ctx.Err()) })
	return reader
}

// sayIfEmpty tells people that there was nothing to do.
func sayIfEmpty(cmd *cobra.Command, events int) {
	if events == 0 && cmd.Context().Err() == nil {
		cmd.PrintErrln("the input holds no events")
	}
}

// record is one message of an input: an event, or a request body.
type record struct {
	number  int    // of the line or the element, from 1 on
	place   string // "line 17", "element 3"
	data    []byte
	request event.Request
	err     error // why it cannot be read
}

// maxDocument bounds an input that is one JSON document over several lines:
// unlike lines, it has to be in memory as a whole.
const maxDocument = 256 << 20

// readRecords reads events, or request bodies with events, from NDJSON, from a
// JSON array, or from one JSON document over several lines. A record that
// cannot be read has its error set, and does not stop the others.
func readRecords(in io.Reader, decoder *event.Decoder) iter.Seq[record] {
	return func(yield func(record) bool) {
		lines := bufio.NewReaderSize(in, 1<<20)
		if err := skipByteOrderMark(lines); err != nil {
			yield(record{number: 1, place: "line 1", err: err})
			return
		}
		r := recordReader{decoder: decoder, yield: yield}
		if isDocument(lines) {
			r.readDocument(lines)
		} else {
			r.readLines(lines)
		}
	}
}

// skipByteOrderMark skips what some programs write before UTF-8, and refuses what
// others write before UTF-16.
func skipByteOrderMark(lines *bufio.Reader) error {
	start, err := lines.Peek(3)
	if err != nil && len(start) < 2 {
		return nil // whoever reads on finds out
	}
	switch {
	case bytes.Equal(start, []byte("\xef\xbb\xbf")):
		_, err = lines.Discard(len(start))
		return err
	case bytes.HasPrefix(start, []byte("\xff\xfe")), bytes.HasPrefix(start, []byte("\xfe\xff")):
		return errors.New("the text is UTF-16; save it as UTF-8")
	default:
		return nil
	}
}

type recordReader struct {
	decoder *event.Decoder
	yield   func(record) bool
}

// isDocument reports whether an input is one JSON value over several lines, and
// not a value a line: an array is a document, and so is an object whose first
// line does not end it, unless the second line is an object of its own, so that
// the first is just a broken line.
func isDocument(lines *bufio.Reader) bool {
	first := peekLine(lines, 0)
	if bytes.HasPrefix(first, []byte("[")) {
		return true
	}
	const longest = 64 << 10 // of a document's first line
	return len(first) < longest && goesOn(first) && !json.Valid(peekLine(lines, 1))
}

// goesOn reports whether a text is the beginning of a JSON value.
func goesOn(text []byte) bool {
	var syntax *json.SyntaxError
	err := json.Unmarshal(text, new(json.RawMessage))
	return len(text) > 0 && errors.As(err, &syntax) && int(syntax.Offset) >= len(text)
}

// peekLine returns one of the first lines that are not blank, or what the
// buffer holds of it, without reading more than needed.
func peekLine(lines *bufio.Reader, index int) []byte {
	for size := 64; ; size *= 2 {
		start, err := lines.Peek(min(size, lines.Size()))
		found := bytes.FieldsFunc(start, func(r rune) bool { return r == '\n' || r == '\r' })
		found = slices.DeleteFunc(found, func(line []byte) bool { return len(bytes.TrimSpace(line)) == 0 })
		complete := len(found) > index+1 || len(found) == index+1 && bytes.HasSuffix(start, []byte("\n"))
		if !complete && err == nil && size < lines.Size() {
			continue
		}
		if index >= len(found) {
			return nil
		}
		return bytes.TrimSpace(found[index])
	}
}

func (r *recordReader) readLines(lines *bufio.Reader) {
	for number := 1; ; number++ {
		line, err := lines.ReadBytes('\n')
		if errors.Is(err, context.Canceled) {
			return
		}
		if line = bytes.TrimSpace(line); len(line) > 0 {
			if !r.read(record{number: number, place: fmt.Sprintf("line %d", number), data: line}) {
				return
			}
		}
		if err != nil {
			if !errors.Is(err, io.EOF) {
				r.yield(record{number: number, place: fmt.Sprintf("line %d", number), err: err})
			}
			return
		}
	}
}

// readDocument reads one JSON value: an array of events, an event, or a request
// body.
func (r *recordReader) readDocument(in io.Reader) {
	text, err := io.ReadAll(io.LimitReader(in, maxDocument+1))
	if errors.Is(err, context.Canceled) {
		return
	}
	if err != nil || len(text) > maxDocument {
		r.yield(record{number: 1, place: "input", err: errors.Join(err,
			fmt.Errorf("a JSON document may have at most %d MB; use one event a line", maxDocument>>20))})
		return
	}
	if !bytes.HasPrefix(bytes.TrimSpace(text), []byte("[")) {
		var whole json.RawMessage
		if err := json.Unmarshal(text, &whole); err != nil {
			r.yield(record{number: 1, place: placeOf(text, err), err: err})
			return
		}
		r.read(record{number: 1, place: "input", data: whole})
		return
	}
	var elements []json.RawMessage
	if err := json.Unmarshal(text, &elements); err != nil {
		r.yield(record{number: 1, place: placeOf(text, err), err: err})
		return
	}
	for i, element := range elements {
		if !r.read(record{number: i + 1, place: fmt.Sprintf("element %d", i+1), data: element}) {
			return
		}
	}
}

// placeOf names the line of a JSON error.
func placeOf(text []byte, err error) string {
	var syntax *json.SyntaxError
	if !errors.As(err, &syntax) {
		return "input"
	}
	offset := min(int(syntax.Offset), len(text))
	return fmt.Sprintf("line %d", 1+bytes.Count(text[:offset], []byte("\n")))
}

// read decodes a record and passes it on. A body with more events than fit one
// is passed on in parts.
func (r *recordReader) read(got record) bool {
	got.request, got.err = r.decoder.Decode(got.data)
	parts := splitBody(got, got.err)
	for _, part := range parts {
		if !r.read(part) {
			return false
		}
	}
	return parts != nil || r.yield(got)
}

// splitBody cuts a request body with too many events into several.
func splitBody(r record, err error) (parts []record) {
	var unusable *event.FaultError
	if !errors.As(err, &unusable) || unusable.Faults[0].Code != event.TooManyEvents {
		return nil
	}
	var body map[string]json.RawMessage
	var events []json.RawMessage
	if json.Unmarshal(r.data, &body) != nil || json.Unmarshal(body["data"], &events) != nil {
		return nil
	}
	for chunk := range slices.Chunk(events, event.MaxEvents) {
		place := fmt.Sprintf("%s, events %d and on", r.place, 1+len(parts)*event.MaxEvents)
		parts = append(parts, record{number: r.number, place: place, data: bodyWith(body, chunk)})
	}
	return parts
}

// bodyWith is a request body with other events in it.
func bodyWith(body map[string]json.RawMessage, others []json.RawMessage) []byte {
	events := make([][]byte, len(others))
	for i, e := range others {
		events[i] = e
	}
	var members [][]byte
	for _, name := range slices.Sorted(maps.Keys(body)) {
		if name != "data" {
			members = append(members, fmt.Appendf(nil, "%q:%s", name, body[name]))
		}
	}
	return bytes.Join(event.Pieces(bytes.Join(members, []byte(",")), events...), nil)
}
