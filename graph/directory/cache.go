package directory

import (
	"context"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/capi-dispatcher/capi-dispatcher/graph"
)

// Redis is what is needed of a Redis client.
type Redis interface {
	Get(ctx context.Context, key string) *redis.StringCmd
	Set(ctx context.Context, key string, value any, keep time.Duration) *redis.StatusCmd
}

// cache is what all workers know, in Redis: a key an account.
type cache struct{ redis Redis }

// redisTimeout bounds one exchange with Redis.
const redisTimeout = 3 * time.Second

// none stands for an account without a dataset.
const none = "none"

func key(asset graph.Asset) string {
	return "capi-dispatcher:dataset-of:" + string(asset.Kind) + ":" + asset.ID
}

func (c cache) get(ctx context.Context, asset graph.Asset) (dataset string, known bool) {
	ctx, cancel := context.WithTimeout(ctx, redisTimeout)
	defer cancel()
	text, err := c.redis.Get(ctx, key(asset)).Result()
	switch {
	case err != nil:
		return "", false
	case text == none:
		return "", true
	default:
		return text, graph.IsID(text)
	}
}

// set may fail: then it is asked for again.
func (c cache) set(ctx context.Context, asset graph.Asset, dataset string) {
	ctx, cancel := context.WithTimeout(ctx, redisTimeout)
	defer cancel()
	if dataset == "" {
		c.redis.Set(ctx, key(asset), none, keepNone)
		return
	}
	c.redis.Set(ctx, key(asset), dataset, keepKnown)
}
