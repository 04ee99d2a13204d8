package graph

import (
	"os"
	"sync"
	"time"
)

// relist is how long a list of the token files is used before it is made anew.
const relist = 10 * time.Second

// owners are the ids that have a token file of their own.
type owners struct {
	mu     sync.Mutex
	ids    map[string]struct{}
	listed time.Time
}

// Owns reports whether a dataset has a token file of its own, or had one less
// than a relist ago. It costs no look at the disk for each dataset: anybody can
// name datasets that do not exist, and many of them.
func (t *Tokens) Owns(dataset string) bool {
	o := &t.owners
	o.mu.Lock()
	defer o.mu.Unlock()
	if now := time.Now(); now.Sub(o.listed) >= relist {
		o.listed = now
		o.list(t.dir)
	}
	_, owns := o.ids[dataset]
	return owns
}

// list lists the files. A directory that cannot be read leaves the list as it
// was.
func (o *owners) list(path string) {
	dir, err := os.Open(path)
	if err != nil {
		return
	}
	defer func() { _ = dir.Close() }()
	names, err := dir.Readdirnames(-1)
	if err != nil {
		return
	}
	o.ids = make(map[string]struct{}, len(names))
	for _, name := range names {
		if IsID(name) {
			o.ids[name] = struct{}{}
		}
	}
}
