package main

import (
	"context"
	"fmt"

	"go.uber.org/zap"

	"github.com/capi-dispatcher/capi-dispatcher/cmd/internal/terminal"
)

// redisLog is go-redis' logger.
type redisLog struct{ *zap.Logger }

// Printf logs a line of the library's at debug level.
func (l redisLog) Printf(_ context.Context, format string, values ...any) {
	l.Debug(terminal.Line(fmt.Sprintf(format, values...)))
}
