package terminal

import "fmt"

// Bounds of an [Excerpt].
const (
	longestGroup   = 10
	longestExcerpt = 50
)

// Excerpt prints the first of many lines, and says how many others there were.
type Excerpt struct {
	show  func(line string) error
	whole bool
	group string
	cut   int // of the group
	size  int // of the group
	shown int
	held  int
}

// NewExcerpt returns an excerpt of lines that are printed one by one; whole makes
// it print them all.
func NewExcerpt(whole bool, show func(line string) error) *Excerpt {
	return &Excerpt{show: show, whole: whole}
}

// Print prints a line, unless there were many before it, or many of its group:
// lines one after the other that are about one thing.
func (e *Excerpt) Print(group, line string) error {
	if group != e.group {
		if err := e.endGroup(); err != nil {
			return err
		}
		e.group, e.size = group, 0
	}
	e.size++
	switch {
	case e.whole || e.size <= longestGroup && e.shown < longestExcerpt:
		e.shown++
		return e.show(line)
	case e.size > longestGroup && e.shown < longestExcerpt:
		e.cut++
	default:
		e.held++
	}
	return nil
}

// End says how many lines were not printed.
func (e *Excerpt) End() error {
	if err := e.endGroup(); err != nil || e.held == 0 {
		return err
	}
	return e.show(fmt.Sprintf("… and %d more lines: --all prints them", e.held))
}

func (e *Excerpt) endGroup() error {
	if e.cut == 0 {
		return nil
	}
	cut := e.cut
	e.cut = 0
	e.shown++
	return e.show(fmt.Sprintf("%s: … and %d more: --all prints them", e.group, cut))
}
