package customer

import (
	"errors"
	"strings"
	"sync"
	"unicode"

	"golang.org/x/text/language"
	"golang.org/x/text/language/display"
	"golang.org/x/text/unicode/norm"
)

// countryCode reads a code of ISO 3166-1, or the name of a country in any of the
// languages of CLDR.
func countryCode(text string) (string, error) {
	text = folded(text)
	region, err := language.ParseRegion(text)
	if region = region.Canonicalize(); err == nil && len(text) == len("usa") {
		// Some codes of three letters are names: NGA is Nigeria, and Nga is
		// what Russia is called in Vietnamese.
		if named, isName := countryNames()[text]; isName && named != region {
			region = language.Region{}
		}
	}
	if err != nil {
		region = countryNames()[text]
	}
	if !region.IsCountry() {
		return "", errors.New("is not a country of ISO 3166-1, like us, nor the name of one")
	}
	return strings.ToLower(region.String()), nil
}

// folded makes two spellings of a name the same: with dots or not, in capitals
// or not.
func folded(name string) string {
	return keep(norm.NFC.String(name), func(r rune) bool { return unicode.IsLetter(r) || unicode.IsDigit(r) })
}

// countryNames are the names of all countries in all languages that the library
// knows, about 26,000 in 2 MB, made when first a name is looked up. A name that
// is that of two countries is none: nobody can tell which is meant.
var countryNames = sync.OnceValue(func() map[string]language.Region {
	names := make(map[string]language.Region)
	for _, tag := range display.Supported.Tags() {
		in := display.Regions(tag)
		if in == nil { // a language without names for countries
			continue
		}
		for _, region := range countries() {
			name := folded(in.Name(region))
			if name == "" {
				continue
			}
			if known, ok := names[name]; ok && known != region {
				region = language.Region{}
			}
			names[name] = region
		}
	}
	return names
})

// countries are the countries of ISO 3166-1.
func countries() (all []language.Region) {
	for first := 'A'; first <= 'Z'; first++ {
		for second := 'A'; second <= 'Z'; second++ {
			region, err := language.ParseRegion(string([]rune{first, second}))
			if err == nil && region.IsCountry() && region.Canonicalize() == region {
				all = append(all, region)
			}
		}
	}
	return all
}
