package graph

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/capi-dispatcher/capi-dispatcher/graph/event/redact"
	"github.com/capi-dispatcher/capi-dispatcher/internal/secret"
)

// ErrNoToken says that there is no token file for a dataset and no default.
var ErrNoToken = errors.New("no access token")

// Secret is a text that is never printed.
type Secret string

// String hides the secret from every kind of printing.
func (Secret) String() string { return "[redacted]" }

// GoString hides the secret from %#v.
func (Secret) GoString() string { return "[redacted]" }

// MarshalText hides the secret from encoders.
func (Secret) MarshalText() ([]byte, error) { return []byte("[redacted]"), nil }

// Redact returns a text with the secret taken out.
func (s Secret) Redact(text []byte) []byte {
	if s == "" {
		return text
	}
	return bytes.ReplaceAll(text, []byte(s), []byte(s.String()))
}

// defaultToken is the file for datasets without one of their own.
const defaultToken = "default"

// recheck is how long a token is used before its file is looked at again.
const recheck = time.Second

// Tokens are the access tokens in a directory: a file per dataset id, and
// "default" for the rest. A changed file is used from the next second on;
// Kubernetes' way of swapping a mounted Secret counts as a change. Tokens is
// safe for concurrent use.
type Tokens struct {
	dir    string
	owners owners

	mu     sync.Mutex
	known  map[string]*tokenFile
	absent map[string]*tokenFile // those of the last second, and some before

	used usedTokens
}

// mostAbsent bounds how many absent files are remembered: anybody can name datasets
// that do not exist.
const mostAbsent = 10_000

// tokenFile is what is known of one file.
type tokenFile struct {
	token       Secret
	fingerprint string
	err         error
	stamp       stamp
	checked     time.Time
}

// stamp tells one version of a file from another. A file that replaces another
// may have its size and time, but not its inode; one that is overwritten cannot
// have the time of its last change chosen.
type stamp struct {
	modified, changed unix.Timespec
	inode             uint64
	size              int64
}

func stampOf(path string) (stamp, error) {
	var stat unix.Stat_t
	err := unix.Stat(path, &stat)
	for errors.Is(err, unix.EINTR) {
		err = unix.Stat(path, &stat)
	}
	if err != nil {
		return stamp{}, &fs.PathError{Op: "stat", Path: path, Err: err}
	}
	return stamp{modified: stat.Mtim, changed: stat.Ctim, inode: stat.Ino, size: stat.Size}, nil
}

// NewTokens returns the tokens in a directory.
func NewTokens(dir string) *Tokens {
	return &Tokens{
		dir: dir, known: make(map[string]*tokenFile), absent: make(map[string]*tokenFile),
		used: usedTokens{texts: make(map[string]struct{})},
	}
}

// For returns the access token of a dataset. The error wraps [ErrNoToken] and
// names the files that were looked for.
func (t *Tokens) For(dataset string) (Secret, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	f := t.fileFor(dataset)
	switch {
	case f.err == nil:
		return f.token, nil
	case !f.isAbsent():
		return "", fmt.Errorf("%w for dataset %s: %w", ErrNoToken, dataset, f.err)
	default:
		return "", fmt.Errorf("%w for dataset %s: put one into %s, or into %s for all datasets", ErrNoToken,
			dataset, filepath.Join(t.dir, dataset), filepath.Join(t.dir, defaultToken))
	}
}

// fileFor is the file that a dataset's token is in: its own, or where there is none,
// that of all.
func (t *Tokens) fileFor(dataset string) *tokenFile {
	if own := t.file(dataset); !own.isAbsent() {
		return own
	}
	return t.file(defaultToken)
}

// Fingerprint returns what tells one token of a dataset from another without
// giving it away; "" where there is none. A change of it shows that the token
// has been replaced.
func (t *Tokens) Fingerprint(dataset string) string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.fileFor(dataset).fingerprint
}

// Changed returns when the file of each token that is in use was last changed, by
// dataset; that of the rest is "default".
func (t *Tokens) Changed() map[string]time.Time {
	t.mu.Lock()
	defer t.mu.Unlock()
	changed := make(map[string]time.Time, len(t.known))
	for name, file := range t.known {
		if file.err == nil {
			changed[name] = time.Unix(file.stamp.modified.Unix())
		}
	}
	return changed
}

// file returns what a file holds now, or held less than a recheck ago.
func (t *Tokens) file(name string) *tokenFile {
	f := t.known[name]
	if f == nil {
		f = t.absent[name]
	}
	now := time.Now()
	if f != nil && now.Sub(f.checked) < recheck {
		return f
	}
	if f == nil {
		f = &tokenFile{}
	}
	f.checked = now
	f.refresh(filepath.Join(t.dir, name))
	t.used.add(f.token)
	t.remember(name, f)
	return f
}

func (t *Tokens) remember(name string, f *tokenFile) {
	if !f.isAbsent() {
		t.known[name] = f
		delete(t.absent, name)
		return
	}
	delete(t.known, name)
	if len(t.absent) >= mostAbsent {
		clear(t.absent)
	}
	t.absent[name] = f
}

// isAbsent reports whether there was no file.
func (f *tokenFile) isAbsent() bool { return errors.Is(f.err, fs.ErrNotExist) }

// refresh reads the file again if it has changed.
func (f *tokenFile) refresh(path string) {
	now, err := stampOf(path)
	if err != nil {
		*f = tokenFile{err: err, checked: f.checked}
		return
	}
	if now == f.stamp && f.err == nil {
		return
	}
	f.stamp, f.fingerprint = now, ""
	if f.token, f.err = readSecret(path); f.err == nil {
		sum := sha256.Sum256([]byte("fingerprint:" + f.token))
		f.fingerprint = hex.EncodeToString(sum[:6])
	}
}

// Used returns the tokens in use, replaced ones included, as secrets to be taken
// out of what others have written. Files that are there are read now, later ones
// when their token is needed.
func (t *Tokens) Used() redact.Secrets {
	files, _ := os.ReadDir(t.dir) // what is wrong is said where a token is needed
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, file := range files {
		if name := file.Name(); name == defaultToken || IsID(name) {
			t.file(name)
		}
	}
	return &t.used
}

// usedTokens are texts that nobody is to see. What has the form of a token is
// known by that, so it need not be remembered.
type usedTokens struct {
	mu    sync.RWMutex
	texts map[string]struct{}
}

// shortestUsed is how long a token has to be for the same text to be no
// coincidence.
const shortestUsed = 20

func (u *usedTokens) add(token Secret) {
	if len(token) < shortestUsed || redact.HoldsToken(string(token)) {
		return
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	u.texts[string(token)] = struct{}{}
}

// Any reports whether any token has to be compared with.
func (u *usedTokens) Any() bool {
	u.mu.RLock()
	defer u.mu.RUnlock()
	return len(u.texts) > 0
}

// Holds reports whether a text is one of the tokens.
func (u *usedTokens) Holds(text []byte) bool {
	if len(text) < shortestUsed {
		return false
	}
	u.mu.RLock()
	defer u.mu.RUnlock()
	_, ok := u.texts[string(text)]
	return ok
}

// readSecret reads a file with a token, or with an app secret.
func readSecret(path string) (Secret, error) {
	word, err := secret.ReadWord(path)
	return Secret(word), err
}

// proof is appsecret_proof: what shows Meta that a token is used by its app.
// Source: Meta, "Securing Graph API Calls".
func proof(appSecret, token Secret) string {
	mac := hmac.New(sha256.New, []byte(appSecret))
	mac.Write([]byte(token))
	return hex.EncodeToString(mac.Sum(nil))
}
