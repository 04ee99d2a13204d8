package logging_test

import (
	"bytes"
	"encoding/json"
	"testing"
	"time"

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
