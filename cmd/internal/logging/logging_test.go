package logging_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"github.com/capi-dispatcher/capi-dispatcher/cmd/internal/logging"
	"github.com/capi-dispatcher/capi-dispatcher/config"
)

func lines(t *testing.T, cfg config.Log) string {
	t.Helper()
	var out bytes.Buffer
	log, err := logging.New(cfg, &out)
	require.NoError(t, err)
	log.Debug("quiet")
	log.Info("hello", zap.Duration("took", 1500*time.Millisecond))
	return out.String()
}

func TestJSON(t *testing.T) {
	t.Parallel()
	var line map[string]any
	require.NoError(t, json.Unmarshal([]byte(lines(t, config.Log{Level: "info", Format: config.JSON})), &line))
	require.Equal(t, "hello", line["msg"])
	require.Equal(t, "info", line["level"])
	require.InDelta(t, 1.5, line["took"], 0, "seconds, as a number")
	_, err := time.Parse(time.RFC3339Nano, line["time"].(string))
	require.NoError(t, err)
}

func TestConsole(t *testing.T) {
	t.Parallel()
	require.Regexp(t, `^\d\d:\d\d:\d\d\.\d{3}\tDEBUG\tquiet\n.*\tINFO\thello\t{"took": "1.5s"}\n$`, lines(t, config.Log{Level: "debug", Format: config.Console}))
}

func TestUnknownLevel(t *testing.T) {
	t.Parallel()
	_, err := logging.New(config.Log{Level: "loud"}, nil)
	require.Error(t, err)
}

// Words of others in a log line move no cursor and forge no line, in either
// format.
func TestWordsOfOthersAreHarmless(t *testing.T) {
	t.Parallel()
	const hostile = "a\x1b[2J\u009b2J\u202eb\x7f\x9b\u2028\n2026 INFO forged"
	for _, format := range []config.LogFormat{config.JSON, config.Console} {
		var out bytes.Buffer
		log, err := logging.New(config.Log{Level: "info", Format: format}, &out)
		require.NoError(t, err)
		log.Info("hello", zap.String("name", hostile), zap.Error(errors.New(hostile)), zap.Strings(hostile, []string{hostile}))
		text := out.String()
		require.Equal(t, 1, strings.Count(text, "\n"), text)
		for _, r := range text {
			require.True(t, unicode.IsGraphic(r) || r == '\n' || r == '\t', "%q in %q", r, text)
		}
	}
}

// A flood is held back: the first lines are written and some of the others, and
// each says how many were left out, so that all are counted.
func TestAFloodIsHeldBackAndCounted(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	log, err := logging.New(config.Log{Level: "info", Format: config.JSON}, &out)
	require.NoError(t, err)
	const many = 100 + 100*20
	for range many {
		log.With(zap.String("component", "x")).Warn("events not accepted", zap.Int("code", 1))
	}
	log.Info("something else")
	counted, others := 0, 0
	for text := range strings.Lines(out.String()) {
		var line struct {
			Msg     string
			LeftOut int `json:"left_out"`
			Code    int
		}
		require.NoError(t, json.Unmarshal([]byte(text), &line))
		if line.Msg != "events not accepted" {
			others++
			continue
		}
		require.Equal(t, 1, line.Code)
		counted += 1 + line.LeftOut
	}
	require.Equal(t, many, counted)
	require.Equal(t, 1, others, "other lines are not held back")
	require.Equal(t, 100+20+1, strings.Count(out.String(), "\n"))
}

// The level can be changed while the log is used. At debug, nothing is held back.
func TestTheLevelCanBeChanged(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	log, err := logging.New(config.Log{Level: "info", Format: config.JSON}, &out)
	require.NoError(t, err)
	derived := log.With(zap.String("component", "x"))
	derived.Debug("quiet")
	require.Empty(t, out.String())
	log.Level.SetLevel(zap.DebugLevel)
	for range 1000 {
		derived.Debug("loud")
	}
	require.Equal(t, 1000, strings.Count(out.String(), "loud"))
	log.Level.SetLevel(zap.ErrorLevel)
	derived.Warn("gone")
	require.NotContains(t, out.String(), "gone")
}
