package breaker

// MaxKept is how many datasets, apps or accounts are remembered by each of the
// package's types: producers can make names up.
const MaxKept = 10_000

// kept returns what is remembered of a key, a zero value if that is nothing yet.
// If there are too many, another is forgotten: one of those that others come
// before, if there is one, else any.
func kept[K comparable, V any](all map[K]*V, key K, lesser func(K) bool) *V {
	if value := all[key]; value != nil {
		return value
	}
	if len(all) >= MaxKept {
		delete(all, victim(all, lesser))
	}
	value := new(V)
	all[key] = value
	return value
}

func victim[K comparable, V any](all map[K]*V, lesser func(K) bool) (key K) {
	for key = range all {
		if lesser(key) {
			break
		}
	}
	return key
}
