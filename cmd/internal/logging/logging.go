// Package logging makes the program's logger.
package logging

import (
	"io"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/capi-dispatcher/capi-dispatcher/cmd/internal/terminal"
	"github.com/capi-dispatcher/capi-dispatcher/config"
)

// Log is a logger whose level can be changed while it is used.
type Log struct {
	*zap.Logger

	Level zap.AtomicLevel
}

// Nop returns a log that writes nothing.
func Nop() Log { return Log{Logger: zap.NewNop(), Level: zap.NewAtomicLevel()} }

// New returns a log that writes lines to out: JSON for machines, console
// for people. Either is safe to read on a terminal, whosever words are in it.
func New(cfg config.Log, out io.Writer) (Log, error) {
	level, err := zap.ParseAtomicLevel(cfg.Level)
	if err != nil {
		return Log{}, err
	}
	core := zapcore.NewCore(encoder(cfg.Format), zapcore.Lock(zapcore.AddSync(terminal.Writer(out))), level)
	return Log{Logger: zap.New(withoutFloods(core)), Level: level}, nil
}

func encoder(format config.LogFormat) zapcore.Encoder {
	if format == config.Console {
		cfg := zap.NewDevelopmentEncoderConfig()
		cfg.EncodeTime = zapcore.TimeEncoderOfLayout("15:04:05.000")
		cfg.EncodeLevel = zapcore.CapitalLevelEncoder
		cfg.EncodeDuration = zapcore.StringDurationEncoder
		return zapcore.NewConsoleEncoder(cfg)
	}
	cfg := zap.NewProductionEncoderConfig()
	cfg.TimeKey = "time"
	cfg.EncodeTime = zapcore.RFC3339NanoTimeEncoder
	cfg.EncodeDuration = zapcore.SecondsDurationEncoder
	return zapcore.NewJSONEncoder(cfg)
}
