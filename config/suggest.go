package config

import (
	"slices"
	"strings"

	"github.com/agext/levenshtein"
)

// instead says what somebody may have meant by a key that there is not: one that
// is spelled alike, one of the same name elsewhere, or what there is beside it.
func instead(key string, known []string) string {
	depth := strings.Count(key, ".") + 1
	var near []string // known keys, or sections, of as many words
	for _, k := range known {
		words := strings.Split(k, ".")
		near = append(near, strings.Join(words[:min(depth, len(words))], "."))
	}
	section, name := cutLast(key)
	if best, distance := nearest(key, near); distance <= tolerance(name) {
		return didYouMean(best)
	}
	for _, k := range known {
		if _, last := cutLast(k); last == name {
			return didYouMean(k)
		}
	}
	beside := namesIn(section, known)
	if len(beside) == 0 {
		beside, section = namesIn("", known), ""
	}
	if section == "" {
		return "there are " + strings.Join(beside, ", ")
	}
	return section + " has " + strings.Join(beside, ", ")
}

// insteadOfVariable says what somebody may have meant by an environment variable
// that there is not.
func insteadOfVariable(name string, known []string) string {
	if best, distance := nearest(name, known); distance <= tolerance(name) {
		return didYouMean(best)
	}
	if i := slices.IndexFunc(known, func(k string) bool { return strings.HasPrefix(k, name+"_") }); i >= 0 {
		return didYouMean(known[i])
	}
	return "a variable's name is CAPI_ and a key in capitals, with _ for each dot, like " + EnvName("nats.url")
}

func didYouMean(key string) string { return "did you mean " + key + "?" }

// tolerance is how many letters of a name may be wrong.
func tolerance(name string) int { return max(1, len(name)/3) }

// nearest returns the known name that is most like a name.
func nearest(name string, known []string) (best string, distance int) {
	distance = 1 << 30
	for _, k := range known {
		if d := levenshtein.Distance(name, k, nil); d < distance {
			best, distance = k, d
		}
	}
	return best, distance
}

// namesIn lists the names in a section, or all sections.
func namesIn(section string, known []string) (names []string) {
	for _, k := range known {
		rest := k
		if section != "" {
			var ok bool
			if rest, ok = cutSection(k, section); !ok {
				continue
			}
		}
		name, _, _ := strings.Cut(rest, ".")
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names
}

// cutSection returns what follows a section in a known key, in which * stands for
// any word.
func cutSection(known, section string) (rest string, ok bool) {
	words, pattern := strings.Split(section, "."), strings.Split(known, ".")
	if len(pattern) <= len(words) || !matches(section, strings.Join(pattern[:len(words)], ".")) {
		return "", false
	}
	return strings.Join(pattern[len(words):], "."), true
}

// cutLast takes the last word off a key.
func cutLast(key string) (section, last string) {
	i := strings.LastIndexByte(key, '.')
	return key[:max(i, 0)], key[i+1:]
}
