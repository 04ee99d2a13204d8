package scalar

import (
	iso4217 "github.com/bojanz/currency"
	"github.com/go-json-experiment/json/jsontext"
	tender "golang.org/x/text/currency"

	"github.com/capi-dispatcher/capi-dispatcher/graph/event/rawjson"
)

// Currency is a code of ISO 4217, in either case. An empty one counts as none,
// and one that was withdrawn is a matter for a warning.
func Currency() Kind {
	return Kind{Should: "a currency code of ISO 4217", judge: func(value jsontext.Value) Wrong {
		code := rawjson.Inner(value)
		switch {
		case !IsText(value):
			return WrongType
		case len(code) == 0 || isCurrency(code) || IsWithdrawn(code):
			return ""
		default:
			return UnknownValue
		}
	}}.mendedBy(currencyCode)
}

// isCurrency reports whether a text is a code of ISO 4217, in either case.
func isCurrency(text []byte) bool {
	code, ok := asCode(text)
	return ok && iso4217.IsValid(string(code[:]))
}

// IsWithdrawn reports whether a text is the code of a currency that people paid
// in, and that ISO 4217 no longer has: many shops learn of that late.
func IsWithdrawn(text []byte) bool {
	code, ok := asCode(text)
	if !ok || iso4217.IsValid(string(code[:])) {
		return false
	}
	for all := tender.Query(tender.Historical); all.Next(); {
		if all.Unit().String() == string(code[:]) {
			return true
		}
	}
	return false
}

// asCode raises three letters. There are letters beyond ASCII whose capitals are
// in it: no code has those.
func asCode(text []byte) (code [3]byte, ok bool) {
	if len(text) != len(code) {
		return code, false
	}
	for i, c := range text {
		if c >= 'a' && c <= 'z' {
			c -= 'a' - 'A'
		}
		code[i] = c
	}
	return code, true
}
