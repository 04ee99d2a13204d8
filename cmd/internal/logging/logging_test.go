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
	require.Equal(t, "1.5s", line["took"])
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
