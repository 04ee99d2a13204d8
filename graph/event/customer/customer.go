// Package customer normalises and hashes customer information, the way Meta
// wants the contact data of user_data: brought into one form first, so that the
// same person gives the same hash everywhere, then SHA-256 in lower-case
// hexadecimal.
//
// Where Meta's documents are silent, or its own libraries disagree, the choices
// are: names keep the spaces within; states keep their whole name; post codes
// lose all spaces and dashes, and the four extra digits of a ZIP+4; phone
// numbers without a country code are read as numbers of the event's country,
// where it names one. docs/events.md has the list.
//
// Nothing here has state; everything is safe for concurrent use.
//
// Source: Meta, customer information parameters, Conversions API (2026).
package customer

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
)

// Field is a member of user_data that Meta wants hashed.
type Field string

// The fields that Meta wants hashed, the last six as its own libraries send
// them.
const (
	Email         Field = "em"
	Phone         Field = "ph"
	FirstName     Field = "fn"
	LastName      Field = "ln"
	Gender        Field = "ge"
	Birthday      Field = "db"
	City          Field = "ct"
	State         Field = "st"
	PostCode      Field = "zp"
	Country       Field = "country"
	ExternalID    Field = "external_id"
	FirstNameHead Field = "f5first"
	LastNameHead  Field = "f5last"
	Initial       Field = "fi"
	BirthDay      Field = "dobd"
	BirthMonth    Field = "dobm"
	BirthYear     Field = "doby"
)

// Fields lists all of them.
func Fields() []Field {
	return []Field{
		Email, Phone, FirstName, LastName, Gender, Birthday, City, State, PostCode, Country, ExternalID,
		FirstNameHead, LastNameHead, Initial, BirthDay, BirthMonth, BirthYear,
	}
}

// ErrEmpty says that nothing is left of a text once it is normalised.
var ErrEmpty = errors.New("holds nothing that could be hashed")

// Hash returns the SHA-256 of a normalised text in lower-case hexadecimal.
func Hash(normalized string) string {
	sum := sha256.Sum256([]byte(normalized))
	return hex.EncodeToString(sum[:])
}

// IsHashed reports whether a text is a hash already: SHA-256 in hexadecimal, or MD5,
// which Meta's own libraries let pass, too. An external id of 32 hexadecimal
// digits is more likely the producer's own id.
func IsHashed(field Field, text string) bool {
	const md5Digits = 32
	switch len(text) {
	case hex.EncodedLen(sha256.Size):
		return isHex(text)
	case md5Digits:
		return field != ExternalID && isHex(text)
	default:
		return false
	}
}

func isHex(text string) bool {
	for _, c := range []byte(text) {
		if (c < '0' || c > '9') && (c < 'a' || c > 'f') && (c < 'A' || c > 'F') {
			return false
		}
	}
	return true
}
