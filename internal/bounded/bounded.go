// Package bounded makes room in maps to which anybody may add: names that come
// from outside must not fill the memory.
package bounded

// MakeRoom forgets entries of a map, no matter which, until it has fewer than
// most.
func MakeRoom[K comparable, V any](entries map[K]V, most int) {
	for key := range entries {
		if len(entries) < most {
			return
		}
		delete(entries, key)
	}
}
