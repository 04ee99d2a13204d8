package storage

import (
	"context"
	"time"

	"go.uber.org/zap"
)

// optional is something that works without: the right to it may be missing,
// which shows as silence. Once it has failed that is said, and it is left alone
// for a while, because the server writes each refusal into its log.
type optional struct {
	log     *zap.Logger
	failure string // what to say
	rest    time.Duration
	said    bool
	last    error // why it failed
	until   time.Time
}

// patienceForOptional is how long silence may last.
const patienceForOptional = 2 * time.Second

// try does it, unless it has failed of late: then it returns that failure.
func (o *optional) try(ctx context.Context, do func(context.Context) error) error {
	if time.Now().Before(o.until) {
		return o.last
	}
	ctx, cancel := context.WithTimeout(ctx, patienceForOptional)
	defer cancel()
	err := do(ctx)
	if err == nil {
		return nil
	}
	o.last, o.until = err, time.Now().Add(o.rest)
	if !o.said {
		o.said = true
		o.log.Warn(o.failure, zap.Error(err))
	}
	return err
}
