package main

import (
	"context"
	"fmt"

	"go.uber.org/zap"
)

// redisLog is go-redis' logger.
type redisLog struct{ *zap.Logger }

// Printf logs a line of the library's at debug level.
func (l redisLog) Printf(_ context.Context, format string, values ...any) {
	l.Debug(fmt.Sprintf(format, values...))
}
