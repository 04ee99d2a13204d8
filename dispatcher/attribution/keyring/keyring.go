// Package keyring hides people: names become aliases that only the owner of the
// keys can make, and what has to be read again is encrypted.
//
// A key file has a line a key: an id, a space, and 32 random bytes or more in
// base64. The first key writes, and all of them read, so that keys can be replaced
// while what older ones have written is still kept. Of each key, one for aliases,
// one for ciphers and one for nonces are derived (HKDF, SHA-256).
package keyring

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"regexp"
	"strings"
)

// ErrNotOpened says that a text was sealed with a key that is not in the ring, for
// another scope, or not at all.
var ErrNotOpened = errors.New("no key of the key file opens it")

// Ring is the keys of a key file. It is safe for concurrent use.
type Ring struct{ keys []key }

type key struct {
	id           string
	alias, nonce []byte
	cipher       cipher.AEAD
}

// Scope is where a name is known: one on two accounts has two aliases.
type Scope struct{ Channel, Account string }

func (s Scope) String() string { return s.Channel + ":" + s.Account }

const (
	leastBytes = 32
	mostKeys   = 8
)

var keyID = regexp.MustCompile(`^[A-Za-z0-9_-]{1,32}$`)

// Read reads a key file. The error names lines and never what stands in them.
func Read(file string) (*Ring, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	ring, err := Parse(string(text))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return ring, nil
}

// Parse reads the text of a key file. Lines that begin with # are left out.
func Parse(text string) (*Ring, error) {
	ring, number := new(Ring), 0
	for line := range strings.Lines(text) {
		number++
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		k, err := parseKey(line)
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", number, err)
		}
		for _, other := range ring.keys {
			if other.id == k.id {
				return nil, fmt.Errorf("line %d: there is a key of that id already", number)
			}
		}
		ring.keys = append(ring.keys, k)
	}
	if n := len(ring.keys); n == 0 || n > mostKeys {
		return nil, fmt.Errorf(`holds %d keys, and not between 1 and %d; make one with: echo "k1 $(openssl rand -base64 32)"`,
			n, mostKeys)
	}
	return ring, nil
}

func parseKey(line string) (key, error) {
	id, encoded, _ := strings.Cut(line, " ")
	secret, err := base64.StdEncoding.DecodeString(strings.TrimSpace(encoded))
	if !keyID.MatchString(id) || err != nil || len(secret) < leastBytes {
		return key{}, fmt.Errorf("is not an id and %d bytes or more in base64, with a space between them", leastBytes)
	}
	return newKey(id, secret)
}

func newKey(id string, secret []byte) (key, error) {
	k := key{id: id}
	var encryption []byte
	for use, into := range map[string]*[]byte{"alias": &k.alias, "nonce": &k.nonce, "cipher": &encryption} {
		derived, err := hkdf.Key(sha256.New, secret, nil, "capi-dispatcher attribution "+use, sha256.Size)
		if err != nil {
			return key{}, err
		}
		*into = derived
	}
	block, err := aes.NewCipher(encryption)
	if err != nil {
		return key{}, err
	}
	k.cipher, err = cipher.NewGCM(block)
	return k, err
}

// Kind says what a name is. The same text as two kinds has two aliases.
type Kind string

// The kinds of names.
const (
	// Phone is the SHA-256 of a phone number's digits, in hex, as Meta has it: so a
	// number and its hash have one alias.
	Phone        Kind = "phone"
	User         Kind = "user"         // an id of Meta's
	Conversation Kind = "conversation" // an id of a partner's
)

// Aliases returns the aliases of a name, one for each key; the first is the one that
// writes.
func (r *Ring) Aliases(scope Scope, kind Kind, name string) []string {
	aliases := make([]string, len(r.keys))
	for i := range r.keys {
		aliases[i] = r.keys[i].aliasOf(scope, kind, name)
	}
	return aliases
}

// Alias returns the alias of a name that the first key makes.
func (r *Ring) Alias(scope Scope, kind Kind, name string) string {
	return r.keys[0].aliasOf(scope, kind, name)
}

// aliasOf makes an alias: 128 bits, as a word that a subject or a key may hold.
func (k *key) aliasOf(scope Scope, kind Kind, name string) string {
	const bytes = 16
	return base64.RawURLEncoding.EncodeToString(tag(k.alias, scope, string(kind), name)[:bytes])
}

// tag is the HMAC of a text in a scope. Parts are ended by a byte that none of them
// but the last may hold.
func tag(secret []byte, scope Scope, kind, text string) []byte {
	mac := hmac.New(sha256.New, secret)
	for _, part := range []string{scope.Channel, scope.Account, kind} {
		mac.Write([]byte(part))
		mac.Write([]byte{0})
	}
	mac.Write([]byte(text))
	return mac.Sum(nil)
}

// IsAlias reports whether a text may be an alias.
func IsAlias(text string) bool {
	const bytes = 16
	decoded, err := base64.RawURLEncoding.DecodeString(text)
	return err == nil && len(decoded) == bytes
}

// Seal encrypts a text with the first key. The same text in the same scope is sealed
// to the same, so that to store it again changes nothing: its nonce is derived from
// it, which tells whoever reads it no more than that two are equal.
func (r *Ring) Seal(scope Scope, text string) string {
	k := &r.keys[0]
	nonce := tag(k.nonce, scope, "nonce", text)[:k.cipher.NonceSize()]
	sealed := k.cipher.Seal(nonce, nonce, []byte(text), []byte(scope.String()))
	return k.id + "." + base64.RawURLEncoding.EncodeToString(sealed)
}

// Open decrypts a text that was sealed in that scope, with any of the keys.
func (r *Ring) Open(scope Scope, sealed string) (string, error) {
	id, encoded, _ := strings.Cut(sealed, ".")
	for i := range r.keys {
		if k := &r.keys[i]; k.id == id {
			return k.open(scope, encoded)
		}
	}
	return "", ErrNotOpened
}

func (k *key) open(scope Scope, encoded string) (string, error) {
	sealed, err := base64.RawURLEncoding.DecodeString(encoded)
	size := k.cipher.NonceSize()
	if err != nil || len(sealed) < size {
		return "", ErrNotOpened
	}
	text, err := k.cipher.Open(nil, sealed[:size], sealed[size:], []byte(scope.String()))
	if err != nil {
		return "", ErrNotOpened
	}
	return string(text), nil
}
