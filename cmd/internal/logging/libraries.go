package logging

import (
	"context"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"
	"go.opentelemetry.io/otel"
	"go.uber.org/zap"
	"golang.org/x/time/rate"

	"github.com/capi-dispatcher/capi-dispatcher/cmd/internal/terminal"
)

// redisLog is go-redis' logger.
type redisLog struct{ *zap.Logger }

// Printf logs a line of the library's at debug level.
func (l redisLog) Printf(_ context.Context, format string, values ...any) {
	l.Debug(terminal.Line(fmt.Sprintf(format, values...)))
}

// Redirect sends what libraries want to say to a log. What they
// complain of is known from our own lines; theirs are for debugging.
func Redirect(log *zap.Logger) {
	redis.SetLogger(redisLog{log.With(zap.String("component", "redis"))})
	often := rate.Sometimes{First: 3, Interval: 10 * time.Minute} // a collector that is away is so for each export
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) {
		often.Do(func() { log.Warn("telemetry", zap.String("component", "otel"), zap.Error(err)) })
	}))
}
