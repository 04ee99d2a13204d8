package customer

import (
	"errors"
	"strings"
	"time"
	"unicode"
)

// birthday reads a date that can be read in one way only: year first, whatever
// is between; with dots, day first; with the month in words; or with a day that
// can be no month.
func birthday(text string) (string, error) {
	at, ok := yearFirst(text)
	for _, layout := range dateLayouts() {
		read, err := time.Parse(layout, text)
		if err != nil {
			continue
		}
		if ok && !read.Equal(at) {
			return "", errors.New("is a date of birth that may have its day or its month first: write it like 1997-02-16")
		}
		at, ok = read, true
	}
	if !ok || at.Year() < 1900 || at.After(time.Now()) {
		return "", errors.New("is not a date of birth like 19970216 or 1997-02-16")
	}
	return at.Format("20060102"), nil
}

// yearFirst reads eight digits, with or without anything but letters between.
func yearFirst(text string) (time.Time, bool) {
	digits := keep(text, func(r rune) bool { return r >= '0' && r <= '9' })
	at, err := time.Parse("20060102", digits)
	return at, err == nil && !strings.ContainsFunc(text, unicode.IsLetter)
}

// dateLayouts are the ways to write a date that are read, beside eight digits.
// Of a time of day only midnight is: another one, in UTC, may be of the day
// before.
func dateLayouts() []string {
	return []string{
		"2006-1-2", "2006/1/2", "2006.1.2", "2006. 1. 2.", "2006年1月2日", "2006년 1월 2일",
		"2006-01-02T00:00:00", "2006-01-02T00:00:00Z", "2006-01-02T00:00:00.000Z", "2006-01-02 00:00:00",
		"2.1.2006", "2. 1. 2006", "2/1/2006", "1/2/2006", "2-1-2006", "1-2-2006",
		"2 January 2006", "January 2, 2006", "January 2 2006", "2 Jan 2006", "Jan 2, 2006", "Jan 2 2006", "2-Jan-2006",
	}
}
