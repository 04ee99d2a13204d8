package customer

import (
	"errors"
	"fmt"
	"net/mail"
	"regexp"
	"strings"
	"time"
	"unicode"

	"github.com/nyaruka/phonenumbers"
	"golang.org/x/text/unicode/norm"
)

// Normalize brings a text into the form that is hashed. country is where the
// customer lives, as ISO 3166-1 code in whatever case, or "" where it is not
// known. The error says what the text is not, and never quotes it.
func Normalize(field Field, text, country string) (string, error) {
	text = norm.NFC.String(strings.TrimSpace(text))
	normalized, err := normalize(field, text, country)
	// What was taken out may have stood between a letter and its accent.
	normalized = norm.NFC.String(normalized)
	if err == nil && normalized == "" {
		err = ErrEmpty
	}
	return normalized, err
}

func normalize(field Field, text, country string) (string, error) {
	switch field {
	case Email:
		return email(text)
	case Phone:
		return phone(text, country)
	case FirstName, LastName:
		return name(text), nil
	case FirstNameHead, LastNameHead:
		return head(name(text), 5), nil
	case Initial:
		return head(name(text), 1), nil
	case Gender:
		return gender(text)
	case Birthday:
		return birthday(text)
	case BirthDay:
		return datePart(text, "2", "02", "a day of the month, 01 to 31")
	case BirthMonth:
		return datePart(text, "1", "01", "a month, 01 to 12")
	case BirthYear:
		return datePart(text, "2006", "2006", "a year of four digits")
	case City:
		return keep(text, unicode.IsLetter), nil
	case State:
		return keep(text, func(r rune) bool { return unicode.IsLetter(r) || unicode.IsDigit(r) }), nil
	case PostCode:
		return postCode(text, country), nil
	case Country:
		return countryCode(text)
	default: // ExternalID: the producer's own, whatever it looks like
		return text, nil
	}
}

// keep lowers a text and keeps some of its runes. Combining marks stay with
// their letters: many scripts spell vowels with them.
func keep(text string, wanted func(rune) bool) string {
	return strings.Map(func(r rune) rune {
		if wanted(r) || unicode.IsMark(r) {
			return r
		}
		return -1
	}, strings.ToLower(text))
}

func name(text string) string {
	return strings.TrimSpace(keep(text, func(r rune) bool {
		return !unicode.IsPunct(r) && !unicode.IsSymbol(r) && !unicode.IsControl(r)
	}))
}

func head(text string, runes int) string {
	all := []rune(text)
	return strings.TrimSpace(string(all[:min(runes, len(all))]))
}

func email(text string) (string, error) {
	text = strings.ToLower(text)
	// A name beside the address, or a comment in it, would be hashed with it.
	if address, err := mail.ParseAddress(text); err != nil || address.Address != text {
		return "", errors.New("is not an email address")
	}
	return text, nil
}

func datePart(text, from, to, what string) (string, error) {
	at, err := time.Parse(from, text)
	if err != nil {
		return "", fmt.Errorf("is not %s", what)
	}
	return at.Format(to), nil
}

var zipPlus4 = regexp.MustCompile(`^(\d{5})-\d{4}$`)

func postCode(text, country string) string {
	if zip := zipPlus4.FindStringSubmatch(text); zip != nil {
		return zip[1]
	}
	code := keep(text, func(r rune) bool { return unicode.IsLetter(r) || unicode.IsDigit(r) })
	if strings.EqualFold(country, "us") {
		return head(code, 5)
	}
	return code
}

// phone returns a number's digits, from its country code on. A number that is
// possible with its leading zeros gone is taken as one with a country code;
// else it may be one of the customer's country.
func phone(text, country string) (string, error) {
	digits := strings.TrimLeft(keep(text, func(r rune) bool { return r >= '0' && r <= '9' }), "0")
	international := strings.HasPrefix(text, "+") || strings.HasPrefix(text, "00")
	if national, err := phonenumbers.Parse(text, strings.ToUpper(country)); !international && country != "" &&
		err == nil &&
		phonenumbers.IsValidNumber(national) {
		return strings.TrimPrefix(phonenumbers.Format(national, phonenumbers.E164), "+"), nil
	}
	number, err := phonenumbers.Parse("+"+digits, "")
	if err != nil || !phonenumbers.IsPossibleNumber(number) {
		return "", errors.New("is not a phone number with its country code, like 16505551212")
	}
	return digits, nil
}
