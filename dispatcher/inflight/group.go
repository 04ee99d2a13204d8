package inflight

import "iter"

// Runs cuts items into those that follow each other and are the same as the first
// of them in some way.
func Runs[T any](items []T, same func(a, b T) bool) iter.Seq[[]T] {
	return func(yield func([]T) bool) {
		for len(items) > 0 {
			n := 1
			for n < len(items) && same(items[0], items[n]) {
				n++
			}
			if !yield(items[:n]) {
				return
			}
			items = items[n:]
		}
	}
}

// Gather puts items with the same key next to each other. Those of one key keep
// their order, and keys come in the order of their first items.
func Gather[K comparable, T any](items []T, key func(T) K) []T {
	if len(items) < 2 {
		return items
	}
	places := make(map[K]int)
	var groups [][]T
	for _, item := range items {
		k := key(item)
		place, known := places[k]
		if !known {
			place = len(groups)
			places[k] = place
			groups = append(groups, nil)
		}
		groups[place] = append(groups[place], item)
	}
	gathered := make([]T, 0, len(items))
	for _, group := range groups {
		gathered = append(gathered, group...)
	}
	return gathered
}
