package logging

import (
	"slices"
	"sync"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// In a flood of lines with one message, of thousands of datasets for example, only
// the first so many within a while are written, and then one of so many. The next one
// that is written says how many were left out.
const (
	floodFor     = 10 * time.Second
	floodFirst   = 100
	floodOneOf   = 100
	mostMessages = 1000 // of which lines are left out; messages are constants
)

// withoutFloods holds floods back, except where everything is wanted: at level
// debug.
func withoutFloods(core zapcore.Core) zapcore.Core {
	out := &leftOut{counts: make(map[string]int)}
	return unlessDebug{every: core, Core: zapcore.NewSamplerWithOptions(
		counting{core, out}, floodFor, floodFirst, floodOneOf, zapcore.SamplerHook(out.note))}
}

// unlessDebug uses one core, and at level debug another.
type unlessDebug struct {
	zapcore.Core

	every zapcore.Core
}

func (c unlessDebug) With(fields []zapcore.Field) zapcore.Core {
	return unlessDebug{Core: c.Core.With(fields), every: c.every.With(fields)}
}

func (c unlessDebug) Check(entry zapcore.Entry, checked *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	if c.every.Enabled(zapcore.DebugLevel) {
		return c.every.Check(entry, checked)
	}
	return c.Core.Check(entry, checked)
}

// leftOut counts lines that were left out, by message.
type leftOut struct {
	mu     sync.Mutex
	counts map[string]int
}

func (l *leftOut) note(entry zapcore.Entry, decision zapcore.SamplingDecision) {
	if decision&zapcore.LogDropped == 0 {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, known := l.counts[entry.Message]; known || len(l.counts) < mostMessages {
		l.counts[entry.Message]++
	}
}

// take returns how many there were since it was last asked.
func (l *leftOut) take(message string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := l.counts[message]
	delete(l.counts, message)
	return n
}

// counting adds to a line how many like it were left out before.
type counting struct {
	zapcore.Core

	left *leftOut
}

func (c counting) With(fields []zapcore.Field) zapcore.Core {
	return counting{c.Core.With(fields), c.left}
}

func (c counting) Check(entry zapcore.Entry, checked *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	if c.Enabled(entry.Level) {
		return checked.AddCore(entry, c)
	}
	return checked
}

func (c counting) Write(entry zapcore.Entry, fields []zapcore.Field) error {
	if n := c.left.take(entry.Message); n > 0 {
		fields = append(slices.Clip(fields), zap.Int("left_out", n))
	}
	return c.Core.Write(entry, fields)
}
