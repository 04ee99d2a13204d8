package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/capi-dispatcher/capi-dispatcher/dedupe/dedupetest"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/natstest"
	"github.com/capi-dispatcher/capi-dispatcher/graph/graphtest"
)

// The demo runs with its own servers, and with the user's; either way the
// books balance.
func TestTheBooksBalance(t *testing.T) {
	for name, f := range map[string]flags{
		"its own servers":  {},
		"servers of yours": {natsURL: natstest.Start(t).URL(), redisURL: dedupetest.Start(t).URL()},
	} {
		t.Run(name, func(t *testing.T) {
			f.length, f.rate = 4*time.Second, 500
			var out strings.Builder
			err := runDemo(t.Context(), f, &out)
			t.Log(out.String())
			require.NoError(t, err)
			require.Contains(t, out.String(), "The books balance: nothing lost, nothing counted twice.")
			require.NotContains(t, out.String(), "✗")
		})
	}
}

func TestTheRealThingNeedsATokenAndADataset(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	require.ErrorContains(t, runDemo(t.Context(), flags{graphURL: "https://graph.example"}, &out), "--graph-url needs --token-file and --dataset")
	file := filepath.Join(t.TempDir(), "token")
	require.NoError(t, os.WriteFile(file, []byte("EAAB-token"), 0o600))
	err := runDemo(t.Context(), flags{graphURL: "http://graph.example", tokenFile: file, dataset: "1"}, &out)
	require.ErrorContains(t, err, "--graph-url: url: http://graph.example would send access tokens over the network in the clear")
}

func TestTheHelpListsEveryRouteOfTheSimulatedAPI(t *testing.T) {
	t.Parallel()
	for _, route := range graphtest.ControlRoutes() {
		require.Contains(t, graphCommand().Long, "  "+route.Pattern+"\n")
	}
}
