package docs_test

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
)

// columns is how wide a line of prose is at the most.
const columns = 120

// Prose in Markdown is wrapped at 120 columns; tables, code and long links are
// not. UPDATE_DOCS=1 wraps the paragraphs that are wider.
func TestProseIsWrapped(t *testing.T) {
	t.Parallel()
	for _, file := range documents(t) {
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		wrapped := wrap(string(text))
		if os.Getenv("UPDATE_DOCS") != "" && wrapped != string(text) {
			require.NoError(t, os.WriteFile(file, []byte(wrapped), 0o644))
			continue
		}
		if wrapped != string(text) { // the whole of both would be printed
			t.Errorf("%s: a paragraph is too wide: UPDATE_DOCS=1 go test ./docs wraps it", file)
		}
	}
}

func TestWhatIsWrapped(t *testing.T) {
	t.Parallel()
	words := strings.Repeat("word ", 24) // 119 columns, and a space
	link := "[" + strings.Repeat("x", columns) + "](y)"
	for name, c := range map[string]struct{ text, wrapped string }{
		"a paragraph":             {words + "and more\nlines", words[:119] + "\nand more lines"},
		"what is narrow":          {"a\nb", "a\nb"},
		"an item":                 {"- " + words + "more\n- other", "- " + words[:114] + "\n  word more\n- other"},
		"an item in a list":       {"  10. " + words, "  10. " + words[:114] + "\n      word"},
		"a table":                 {"| " + words + "more |", "| " + words + "more |"},
		"code":                    {"```\n" + words + "more\n```", "```\n" + words + "more\n```"},
		"a heading":               {"# " + words + "more", "# " + words + "more"},
		"no dash begins a line":   {words + "– - x", words[:119] + "\n– - x"},
		"no number begins a line": {words[:110] + "12345678 1. x", words[:109] + "\n12345678 1. x"},
		"words in code":           {words + "`a b`", words[:119] + "\n`a b`"},
		"a long link":             {"see " + link + " there", "see\n" + link + "\nthere"},
	} {
		require.Equal(t, c.wrapped, wrap(c.text), name)
	}
}

// documents are the Markdown files of the repository that people write.
func documents(t *testing.T) (files []string) {
	t.Helper()
	generated := []string{"errors.md"} // the chart's guide is made of its template
	for _, pattern := range []string{"*.md", ".github/*.md", "docs/*.md", "docs/*/*.md", "charts/*/*.md.gotmpl"} {
		found, err := filepath.Glob(filepath.Join("..", filepath.FromSlash(pattern)))
		require.NoError(t, err)
		files = append(files, found...)
	}
	return slices.DeleteFunc(files, func(file string) bool { return slices.Contains(generated, filepath.Base(file)) })
}

var (
	// item is what begins an item of a list, or a quotation.
	item = regexp.MustCompile(`^( *)(?:[-*+] +|\d+\. +|> *)?`)
	// notProse is a line that means something by itself.
	notProse = regexp.MustCompile("^ *(?:$|#|\\||```|<|\\{\\{|\\[\\S+\\]: )")
	// begins is a word that would mean something at the beginning of a line.
	begins = regexp.MustCompile(`^(?:[-*+>#=|]+|\d+[.)])$`)
)

// wrap wraps the paragraphs of a text that have a line which is too wide.
func wrap(text string) string {
	var out, paragraph []string
	flush := func() {
		out = append(out, wrapParagraph(paragraph)...)
		paragraph = nil
	}
	inCode := false
	for line := range strings.SplitSeq(text, "\n") {
		fence := strings.HasPrefix(strings.TrimSpace(line), "```")
		switch {
		case fence || inCode || notProse.MatchString(line):
			flush()
			out = append(out, line)
		case item.FindString(line) != item.FindStringSubmatch(line)[1]: // a new item
			flush()
			fallthrough
		default:
			paragraph = append(paragraph, line)
		}
		inCode = inCode != fence
	}
	flush()
	return strings.Join(out, "\n")
}

func wrapParagraph(lines []string) (wrapped []string) {
	if !slices.ContainsFunc(lines, func(line string) bool { return utf8.RuneCountInString(line) > columns }) {
		return lines
	}
	line := item.FindString(lines[0])
	indent := strings.Repeat(" ", len(line))
	if strings.Contains(line, ">") {
		indent = line
	}
	empty := true
	for _, word := range unbroken(strings.TrimPrefix(strings.Join(lines, "\n"), line)) {
		if !empty && utf8.RuneCountInString(line)+1+utf8.RuneCountInString(word) > columns {
			wrapped, line, empty = append(wrapped, line), indent, true
		}
		if !empty {
			line += " "
		}
		line, empty = line+word, false
	}
	return append(wrapped, line)
}

// unbroken are the words of a text; those between backticks, and before what
// would mean something at the beginning of a line, stay together.
func unbroken(text string) (words []string) {
	open := false
	for word := range strings.FieldsSeq(text) {
		if last := len(words) - 1; last >= 0 && (open || begins.MatchString(word)) {
			words[last] += " " + word
		} else {
			words = append(words, word)
		}
		open = open != (strings.Count(word, "`")%2 == 1)
	}
	return words
}
