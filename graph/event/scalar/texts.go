package scalar

import (
	"bytes"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/capi-dispatcher/capi-dispatcher/graph/event/customer"
	"github.com/capi-dispatcher/capi-dispatcher/graph/event/rawjson"
)

// IsText reports whether a value is a string.
func IsText(value jsontext.Value) bool { return value.Kind() == '"' }

// IsID reports whether a value is a string, or a whole number, which is kept
// digit by digit.
func IsID(value jsontext.Value) bool { return IsText(value) || IsDigits(value) }

func isBoolean(value jsontext.Value) bool { return value.Kind() == 't' || value.Kind() == 'f' }

func isFlag(value jsontext.Value) bool {
	return isBoolean(value) || string(value) == "0" || string(value) == "1"
}

func isWhole(value jsontext.Value) bool { return IsDigits(trimSign(value)) }

func isWholeText(value jsontext.Value) bool { return isWhole(rawjson.Inner(value)) }

func isNumber(value jsontext.Value) bool {
	if !IsText(value) {
		return value.Kind() == '0'
	}
	text := jsontext.Value(rawjson.Inner(value))
	return text.IsValid() && text.Kind() == '0' && text[len(text)-1] > ' ' && text[0] > ' '
}

// isAmount is a number, or an empty string, which is as good as none.
func isAmount(value jsontext.Value) bool { return string(value) == `""` || isNumber(value) }

// IsDigits reports whether a text is nothing but digits.
func IsDigits(text []byte) bool {
	for _, c := range text {
		if c < '0' || c > '9' {
			return false
		}
	}
	return len(text) > 0
}

func trimSign(number []byte) []byte {
	if len(number) > 0 && number[0] == '-' {
		return number[1:]
	}
	return number
}

// IsAddress reports whether a text has the characters of an IP address: which
// addresses there are is Meta's matter, and hashes and lists look different.
func IsAddress(text []byte) bool {
	const longest = len("ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255")
	for _, c := range text {
		hexadecimal := c >= '0' && c <= '9' || c >= 'a' && c <= 'f' || c >= 'A' && c <= 'F'
		if !hexadecimal && c != '.' && c != ':' {
			return false
		}
	}
	return len(text) <= longest && bytes.ContainsAny(text, ".:")
}

// IsWebAddress reports whether a text is the address of a page: a scheme, a
// host, no white space.
func IsWebAddress(text []byte) bool {
	scheme, host, _ := bytes.Cut(text, []byte("://"))
	return (bytes.EqualFold(scheme, []byte("https")) || bytes.EqualFold(scheme, []byte("http"))) &&
		len(host) > 0 && host[0] != '/' && !bytes.ContainsAny(text, rawjson.Space+"<>")
}

// IsBlank reports whether a string has nothing in it but white space.
func IsBlank(text jsontext.Value) bool { return len(bytes.TrimSpace(rawjson.Inner(text))) == 0 }

// IsPlaceholder reports whether a text was never filled in: <PAGE_ID>.
func IsPlaceholder(text jsontext.Value) bool {
	inner := bytes.TrimSpace(rawjson.Inner(text))
	return bytes.HasPrefix(inner, []byte("<")) && bytes.HasSuffix(inner, []byte(">"))
}

// IsHash reports whether a text is a SHA-256 in hexadecimal.
func IsHash(text jsontext.Value) bool {
	return customer.IsHashed(customer.ExternalID, string(rawjson.Inner(text)))
}
