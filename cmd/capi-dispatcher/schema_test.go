package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/capi-dispatcher/capi-dispatcher/cmd/internal/command"
	"github.com/capi-dispatcher/capi-dispatcher/cmd/internal/exit"
)

// The schema is made with the configuration that is given.
func TestSchema(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "config.yaml")
	require.NoError(t, os.WriteFile(file, []byte("nats: {subject: shop.events}\ngraph: {messaging_events: [OnlyThis]}\n"), 0o600))
	for kind, want := range map[string]string{
		"event": `"OnlyThis"`, "config": `"restricted_countries"`, "asyncapi": `"shop.events.{dataset}"`, "openapi": `"/readyz"`,
	} {
		var out bytes.Buffer
		root := newRoot()
		root.SetOut(&out)
		root.SetArgs([]string{"schema", kind, "--config", file})
		require.Zero(t, command.ExitCode(root.ExecuteContext(t.Context())))
		require.True(t, json.Valid(out.Bytes()), kind)
		require.Contains(t, out.String(), want, kind)
	}
	for _, wrong := range [][]string{{"schema"}, {"schema", "x"}, {"schema", "event", "config"}} {
		root := newRoot()
		root.SetArgs(wrong)
		require.Equal(t, exit.WrongUsage, command.ExitCode(root.ExecuteContext(t.Context())), wrong)
	}
}
