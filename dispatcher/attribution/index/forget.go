package index

import (
	"context"
	"fmt"
	"slices"

	"github.com/redis/go-redis/v9"

	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/attribution/keyring"
)

// Aliases returns all aliases of a person that can be reached from some.
func (x *Index) Aliases(ctx context.Context, scope keyring.Scope, from []string) ([]string, error) {
	all := slices.Clone(from)
	for next := 0; next < len(all); next++ { // it grows on the way
		others, err := x.redis.ZRange(ctx, key(ofAliases, scope, all[next]), 0, -1).Result()
		if err != nil {
			return nil, fmt.Errorf("looking for a person's aliases in Redis: %w", err)
		}
		for _, other := range others {
			if !slices.Contains(all, other) {
				all = append(all, other)
			}
		}
	}
	return all, nil
}

// Count returns how many keys there are of these aliases.
func (x *Index) Count(ctx context.Context, scope keyring.Scope, aliases []string) (keys int, err error) {
	return x.forEach(ctx, scope, aliases, redis.Pipeliner.ZCard)
}

// Forget deletes all that there is of these aliases, and returns how many keys that
// were.
func (x *Index) Forget(ctx context.Context, scope keyring.Scope, aliases []string) (keys int, err error) {
	return x.forEach(ctx, scope, aliases, func(pipe redis.Pipeliner, ctx context.Context, key string) *redis.IntCmd {
		return pipe.Del(ctx, key)
	})
}

// forEach does something to each key of these aliases, and returns how many of them
// there were.
func (x *Index) forEach(
	ctx context.Context, scope keyring.Scope, aliases []string,
	do func(pipe redis.Pipeliner, ctx context.Context, key string) *redis.IntCmd,
) (keys int, err error) {
	var done []*redis.IntCmd
	_, err = x.redis.Pipelined(ctx, func(pipe redis.Pipeliner) error {
		for _, alias := range aliases {
			for _, set := range []string{ofClicks, ofPeople, ofAliases} {
				done = append(done, do(pipe, ctx, key(set, scope, alias)))
			}
		}
		return nil
	})
	if err != nil {
		return 0, fmt.Errorf("forgetting a person in Redis: %w", err)
	}
	for _, cmd := range done {
		if cmd.Val() > 0 {
			keys++
		}
	}
	return keys, nil
}
