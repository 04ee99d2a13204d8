package webhook

import (
	"encoding/json"
	"errors"
	"strconv"
	"strings"
	"time"
)

var (
	errNoID     = errors.New("neither a string nor a number")
	errNoMoment = errors.New("not a time since 1970")
)

// id is an id of Meta's, which comes as a string or as a number.
type id string

// UnmarshalJSON keeps the digits of a number as they are: ids go beyond 2^53.
func (i *id) UnmarshalJSON(value []byte) error {
	switch {
	case string(value) == "null":
		return nil
	case value[0] == '"':
		var text string
		if err := json.Unmarshal(value, &text); err != nil {
			return err
		}
		*i = id(strings.TrimSpace(text))
		return nil
	case value[0] >= '0' && value[0] <= '9':
		*i = id(value)
		return nil
	default:
		return errNoID
	}
}

// isAccount reports whether an id is one of an account: digits.
func isAccount(id string) bool {
	const longest = 32
	return id != "" && len(id) <= longest && Digits(id) == id
}

// moment is a time, which comes in seconds or in milliseconds, as a number or as a
// string.
type moment struct{ time.Time }

// UnmarshalJSON tells seconds from milliseconds by their size.
func (m *moment) UnmarshalJSON(value []byte) error {
	const milliseconds = 100_000_000_000 // as seconds, in the year 5138; as milliseconds, in 1973
	text := strings.Trim(string(value), `"`)
	number, err := strconv.ParseInt(text, 10, 64)
	if err != nil || number <= 0 {
		return errNoMoment
	}
	if number >= milliseconds {
		m.Time = time.UnixMilli(number)
	} else {
		m.Time = time.Unix(number, 0)
	}
	return nil
}
