// Package secret holds settings that must not be printed, and reads those that
// stand in files.
package secret

import (
	"errors"
	"fmt"
	"net/url"
	"os"
	"slices"
	"strings"
)

// URLs is one address or several, separated by commas, which may hold
// credentials. It is never printed with them.
type URLs string

// List returns the addresses, as they are, credentials included.
func (u URLs) List() []string {
	var list []string
	for part := range strings.SplitSeq(string(u), ",") {
		if part = strings.TrimSpace(part); part != "" {
			list = append(list, part)
		}
	}
	return list
}

// unreadable is all that may be said of addresses of which nobody can tell where
// in them the credentials are.
const unreadable = "[not a URL]"

// String returns the addresses without credentials. If one of them cannot be
// read, none is shown: a comma in a password has made two of one, maybe.
func (u URLs) String() string {
	list := u.List()
	for i, address := range list {
		shown, err := withoutCredentials(address)
		if err != nil {
			return unreadable
		}
		list[i] = shown
	}
	return strings.Join(list, ",")
}

// Validate says which address cannot be read, by its place and never by its
// text.
func (u URLs) Validate() error {
	list := u.List()
	for i, address := range list {
		if _, err := withoutCredentials(address); err != nil {
			if len(list) > 1 {
				return fmt.Errorf("address %d of %d %w", i+1, len(list), err)
			}
			return err
		}
	}
	return nil
}

// GoString hides credentials from %#v.
func (u URLs) GoString() string { return fmt.Sprintf("%q", u.String()) }

// MarshalText hides credentials from encoders.
func (u URLs) MarshalText() ([]byte, error) { return []byte(u.String()), nil }

// MarshalYAML hides credentials from YAML.
func (u URLs) MarshalYAML() (any, error) { return u.String(), nil }

// HasCredentials reports whether any address holds a user name, a password or a
// token.
func (u URLs) HasCredentials() bool { return strings.Contains(string(u), "@") }

// ErrNotURL says that an address cannot be read as one.
var ErrNotURL = errors.New("is not of the form scheme://host:port; in a user name or password, " +
	"each of % @ : / ? # , and every space has to be written as %25 %40 %3A %2F %3F %23 %2C and %20")

// withoutCredentials returns what may be shown of an address. Where it is not
// written as it should be, a password may be anywhere in it, so the error does
// not quote it, nor does it wrap the library's, which does.
func withoutCredentials(address string) (string, error) {
	parsed, err := url.Parse(address)
	if err != nil || parsed.Host == "" || !slices.Contains(schemes(), parsed.Scheme) {
		return "", ErrNotURL
	}
	user := parsed.User
	parsed.User = nil
	if strings.Contains(parsed.Host+parsed.Path+parsed.RawQuery+parsed.Fragment, "@") {
		return "", ErrNotURL
	}
	if parsed.RawQuery != "" {
		parsed.RawQuery = redacted // settings, or a password in the wrong place
	}
	parsed.Fragment, parsed.RawFragment = "", ""
	if user == nil {
		return parsed.String(), nil
	}
	return strings.Replace(parsed.String(), "://", "://"+redacted+"@", 1), nil
}

const redacted = "[redacted]"

// schemes are those of the servers that addresses here are of.
func schemes() []string {
	return []string{"nats", "tls", "ws", "wss", "redis", "rediss", "http", "https"}
}

// ReadFile reads a file with one secret in it. White space around it is left
// out. The error names the file and never its content.
func ReadFile(path string) (string, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	secret := strings.TrimSpace(string(text))
	if secret == "" {
		return "", fmt.Errorf("%s is empty", path)
	}
	return secret, nil
}

// ReadWord reads a file like [ReadFile], with a secret in it that goes into a
// header of HTTP: one word of plain ASCII.
func ReadWord(path string) (string, error) {
	secret, err := ReadFile(path)
	if strings.ContainsFunc(secret, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return "", fmt.Errorf("%s holds more than one word of plain ASCII", path)
	}
	return secret, err
}
