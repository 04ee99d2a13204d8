package dlq

import (
	"fmt"
	"regexp"
	"strings"
)

// failures sums up what went wrong with many things, each for itself: the first
// of each kind, and how many more are like it.
type failures struct {
	kinds map[string]*kindOfFailure
	order []*kindOfFailure
	total int
}

type kindOfFailure struct {
	first error
	count int
}

// figures is what differs in errors of one kind: numbers, sizes, times.
var figures = regexp.MustCompile(`\d+`)

func (f *failures) add(err error) {
	f.total++
	name := figures.ReplaceAllString(err.Error(), "#")
	kind := f.kinds[name]
	if kind == nil {
		kind = &kindOfFailure{first: err}
		if f.kinds == nil {
			f.kinds = make(map[string]*kindOfFailure)
		}
		f.kinds[name] = kind
		f.order = append(f.order, kind)
	}
	kind.count++
}

func (f *failures) Error() string {
	const mostKinds = 5
	var text strings.Builder
	others := 0
	for i, kind := range f.order {
		if i >= mostKinds {
			others += kind.count
			continue
		}
		fmt.Fprintf(&text, "\n  %s", kind.first)
		if more := kind.count - 1; more > 0 {
			fmt.Fprintf(&text, " (and %d more like this)", more)
		}
	}
	if others > 0 {
		fmt.Fprintf(&text, "\n  … and %d for other reasons", others)
	}
	return text.String()
}

// Unwrap returns the first of each kind.
func (f *failures) Unwrap() (firsts []error) {
	for _, kind := range f.order {
		firsts = append(firsts, kind.first)
	}
	return firsts
}
