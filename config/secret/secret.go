// Package secret holds settings that must not be printed.
package secret

import (
	"fmt"
	"net/url"
	"os"
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

// String returns the addresses without credentials.
func (u URLs) String() string {
	list := u.List()
	for i, address := range list {
		list[i] = withoutCredentials(address)
	}
	return strings.Join(list, ",")
}

// GoString hides credentials from %#v.
func (u URLs) GoString() string { return fmt.Sprintf("%q", u.String()) }

// MarshalText hides credentials from encoders.
func (u URLs) MarshalText() ([]byte, error) { return []byte(u.String()), nil }

// MarshalYAML hides credentials from YAML.
func (u URLs) MarshalYAML() (any, error) { return u.String(), nil }

// HasCredentials tells whether any address holds a user name, a password or a
// token.
func (u URLs) HasCredentials() bool { return u.String() != strings.Join(u.List(), ",") }

func withoutCredentials(address string) string {
	parsed, err := url.Parse(address)
	if err != nil {
		return "[not a URL]"
	}
	if parsed.User == nil {
		return address
	}
	parsed.User = nil
	return strings.Replace(parsed.String(), "://", "://[redacted]@", 1)
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
