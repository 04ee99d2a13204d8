// Package index is where clicks and people are looked up: in Redis, made of the
// records of package clicks and of nothing else.
//
// Each alias of a person has up to three sorted sets by time: the clicks, the ids
// that a channel has for the person, and the person's other aliases. There is no one
// name of a person on which the others would depend: a record goes to all of its
// aliases, and a look-up follows other aliases from the one that it knows. So records
// may come twice, in any order, or be stored in part by a receiver that dies; what is
// there in the end is the same. Each command is of one key, and the keys of an alias
// have a hash tag of their own, so that a cluster spreads them, and may move them.
package index

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/attribution/clicks"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/attribution/keyring"
)

// Index is the index in one Redis. It is safe for concurrent use.
type Index struct {
	redis redis.UniversalClient
	keep  time.Duration
}

// New returns an index that forgets what is older than keep, counted from when it
// happened.
func New(client redis.UniversalClient, keep time.Duration) *Index {
	return &Index{redis: client, keep: keep}
}

// The sets of an alias.
const (
	ofClicks  = "click"
	ofPeople  = "user"
	ofAliases = "alias"
)

// key is a set of an alias. What stands in braces decides about the slot.
func key(set string, scope keyring.Scope, alias string) string {
	return "capi:" + set + ":{" + scope.String() + ":" + alias + "}"
}

// most is how many members a set has: the latest stay.
const most = 8

// putScript adds a member to a set, and lets the set live for as long as its latest
// member counts. What comes out depends on the members alone, and not on the order
// in which they came: a click counts from when it was seen first, and a name until it
// was seen last.
const putScript = `
redis.call('ZADD', KEYS[1], ARGV[5], ARGV[1], ARGV[2])
redis.call('ZREMRANGEBYRANK', KEYS[1], 0, -1 - tonumber(ARGV[3]))
local latest = redis.call('ZRANGE', KEYS[1], -1, -1, 'WITHSCORES')
return redis.call('EXPIREAT', KEYS[1], math.floor(tonumber(latest[2])) + tonumber(ARGV[4]))
`

// Put stores records. All of them are there when it returns nil; else some may be,
// and they have to be put again.
func (x *Index) Put(ctx context.Context, records []clicks.Record) error {
	_, err := x.redis.Pipelined(ctx, func(pipe redis.Pipeliner) error {
		for i := range records {
			x.put(ctx, pipe, &records[i])
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("storing clicks in Redis: %w", err)
	}
	return nil
}

func (x *Index) put(ctx context.Context, pipe redis.Pipeliner, r *clicks.Record) {
	seconds := int64(x.keep / time.Second)
	put := func(set, alias, member string) {
		which := "GT"
		if set == ofClicks {
			which = "LT"
		}
		pipe.Eval(ctx, putScript, []string{key(set, r.Scope(), alias)}, r.At, member, most, seconds, which)
	}
	for _, alias := range r.Aliases {
		if r.Click != "" {
			put(ofClicks, alias, r.Click)
		}
		if r.Person != "" {
			put(ofPeople, alias, r.Person)
		}
	}
	if r.Person != "" {
		return // known under each alias, so that none has to be followed
	}
	for _, alias := range r.Aliases {
		for _, other := range r.Aliases {
			if other != alias {
				put(ofAliases, alias, other)
			}
		}
	}
}

// Query asks for the latest click of a person, or for the id that a channel has for
// the person.
type Query struct {
	Scope   keyring.Scope
	Aliases []string
	// People asks for ids of people, else for clicks.
	People bool
	// After and Until bound when it has happened; each may be zero.
	After, Until time.Time
}

// Found is the answer to a query.
type Found struct {
	Sealed string // "" is that nothing was found
	At     time.Time
	Err    error // that it could not be found out
}

// A look-up follows aliases of aliases: a person who has got a new number twice.
const (
	mostTrips   = 3
	mostAliases = 24
)

// Look answers queries, all of them in one pipeline; in another one or two, if there
// are further aliases of the people asked for.
func (x *Index) Look(ctx context.Context, queries []Query) []Found {
	looks := make([]look, len(queries))
	for i := range queries {
		looks[i] = look{Query: &queries[i], fresh: queries[i].Aliases, seen: slices.Clone(queries[i].Aliases)}
	}
	for range mostTrips {
		if !x.trip(ctx, looks) {
			break
		}
	}
	found := make([]Found, len(looks))
	for i := range looks {
		found[i] = looks[i].found
	}
	return found
}

// look is a query on its way.
type look struct {
	*Query

	found   Found
	fresh   []string // aliases to be asked for next
	seen    []string
	members []*redis.ZSliceCmd
	others  []*redis.StringSliceCmd
}

// trip asks for all aliases that are fresh, and reports whether there were any.
func (x *Index) trip(ctx context.Context, looks []look) bool {
	asked := false
	cmds, err := x.redis.Pipelined(ctx, func(pipe redis.Pipeliner) error {
		for i := range looks {
			asked = looks[i].ask(ctx, pipe) || asked
		}
		return nil
	})
	if err != nil && !slices.ContainsFunc(cmds, func(cmd redis.Cmder) bool { return cmd.Err() != nil }) {
		// No connection came about: the client leaves the commands as if they had
		// succeeded.
		for _, cmd := range cmds {
			cmd.SetErr(err)
		}
	}
	for i := range looks {
		looks[i].hear()
	}
	return asked
}

func (l *look) ask(ctx context.Context, pipe redis.Pipeliner) (asked bool) {
	set := ofClicks
	if l.People {
		set = ofPeople
	}
	l.members, l.others = l.members[:0], l.others[:0]
	for _, alias := range l.fresh {
		l.members = append(l.members, pipe.ZRangeArgsWithScores(ctx, l.latest(key(set, l.Scope, alias))))
		if !l.People {
			l.others = append(l.others, pipe.ZRange(ctx, key(ofAliases, l.Scope, alias), 0, -1))
		}
	}
	l.fresh = nil
	return len(l.members) > 0
}

// latest is the latest member of a set within the query's bounds.
func (l *look) latest(set string) redis.ZRangeArgs {
	return redis.ZRangeArgs{
		Key: set, Start: bound(l.Until, "+inf"), Stop: bound(l.After, "-inf"), ByScore: true, Rev: true, Count: 1,
	}
}

func bound(at time.Time, none string) string {
	if at.IsZero() {
		return none
	}
	return strconv.FormatInt(at.Unix(), 10)
}

// hear takes in the answers.
func (l *look) hear() {
	for i, members := range l.members {
		switch answer, failed := members.Result(); {
		case failed != nil:
			l.found.Err = errors.Join(l.found.Err, failed)
		case len(answer) == 1 && (l.found.Sealed == "" || int64(answer[0].Score) > l.found.At.Unix()):
			l.found.Sealed, _ = answer[0].Member.(string)
			l.found.At = time.Unix(int64(answer[0].Score), 0)
		}
		if l.People {
			continue
		}
		others, failed := l.others[i].Result()
		if failed != nil {
			l.found.Err = errors.Join(l.found.Err, failed)
		}
		l.follow(others)
	}
	l.members, l.others = nil, nil
}

func (l *look) follow(aliases []string) {
	for _, alias := range aliases {
		if len(l.seen) < mostAliases && !slices.Contains(l.seen, alias) {
			l.seen, l.fresh = append(l.seen, alias), append(l.fresh, alias)
		}
	}
}
