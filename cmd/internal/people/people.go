// Package people looks after what webhooks have told of people: it puts it into Redis
// again, and forgets one of them.
package people

import (
	"context"
	"fmt"

	"github.com/redis/go-redis/v9"

	"github.com/capi-dispatcher/capi-dispatcher/cmd/internal/connect"
	"github.com/capi-dispatcher/capi-dispatcher/config"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/attribution/clicks"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/attribution/index"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/attribution/keyring"
)

// Keeper has what keeps people: the stream of clicks, and the index in Redis.
type Keeper struct {
	cfg   *config.Config
	nats  *connect.Connection
	redis redis.UniversalClient
	ring  *keyring.Ring
	index *index.Index
}

// Open connects to Redis and reads the keys. The caller closes the keeper.
func Open(cfg *config.Config, nats *connect.Connection) (*Keeper, error) {
	ring, err := keyring.Read(cfg.Attribution.KeyFile)
	if err != nil {
		return nil, fmt.Errorf("attribution.key_file: %w", err)
	}
	client, err := connect.Redis(&cfg.Redis, 4)
	if err != nil {
		return nil, err
	}
	return &Keeper{
		cfg: cfg, nats: nats, redis: client, ring: ring, index: index.New(client, cfg.Attribution.Keep),
	}, nil
}

// Close ends the connection to Redis.
func (k *Keeper) Close() { _ = k.redis.Close() }

// Rebuilt is what came of a rebuild.
type Rebuilt struct{ Records, Malformed int }

// Rebuild puts all records of the stream into Redis.
func (k *Keeper) Rebuild(ctx context.Context) (done Rebuilt, err error) {
	const atOnce = 500
	var page []clicks.Record
	put := func() error {
		if err := k.index.Put(ctx, page); err != nil {
			return err
		}
		done.Records += len(page)
		page = page[:0]
		return nil
	}
	err = clicks.Each(ctx, k.nats, k.cfg.Attribution.Stream, "", func(_ uint64, data []byte) error {
		r, err := clicks.Parse(data)
		if err != nil {
			done.Malformed++
			return nil //nolint:nilerr // it is counted
		}
		if page = append(page, r); len(page) == atOnce {
			return put()
		}
		return nil
	})
	if err != nil {
		return done, err
	}
	return done, put()
}
