package logging

import (
	"context"
	"fmt"

	"github.com/redis/go-redis/v9"
	"go.opentelemetry.io/otel"
	"go.uber.org/zap"

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
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) {
		log.Warn("telemetry", zap.String("component", "otel"), zap.Error(err))
	}))
}
