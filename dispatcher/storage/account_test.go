package storage_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/natstest"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/storage"
)

// documentedAccounts are the accounts of docs/security.md, with a store that is
// full at once.
func documentedAccounts(t *testing.T) *server.Options {
	t.Helper()
	text, err := os.ReadFile("../../docs/security.md")
	require.NoError(t, err)
	block := regexp.MustCompile("(?s)```conf\n(.*?)```").FindStringSubmatch(string(text))
	require.NotNil(t, block)
	file := filepath.Join(t.TempDir(), "nats.conf")
	conf := strings.NewReplacer("60GB", "1MB", "$CAPI_PASSWORD", "x", "$SHOP_A_PASSWORD", "x").Replace(block[1])
	require.NoError(t, os.WriteFile(file, []byte(conf), 0o600))
	options, err := server.ProcessConfigFile(file)
	require.NoError(t, err)
	return options
}

// With the accounts that docs/security.md shows, a producer's flood ends where
// it should: the producer is told, cannot do anything else, and it is named.
func TestAFloodIsBoundedByTheDocumentedAccounts(t *testing.T) {
	t.Parallel()
	running := natstest.StartWith(t, documentedAccounts(t))
	js := running.JetStream(nats.UserInfo("capi", "x"))
	_, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "CAPI", Subjects: []string{"capi.events.>"}, Discard: jetstream.DiscardNew})
	require.NoError(t, err)
	watch := storage.New(js, zap.NewNop(), storage.Stream{Name: "CAPI", Label: "events", Subject: "capi.events", Consumer: "ours"})
	watch.Look(t.Context())
	reason, _ := watch.Filling()
	require.Empty(t, reason)

	shop := running.JetStream(nats.UserInfo("shop_a", "x")).Conn()
	publish := func(subject string, size int) string {
		answer, err := shop.Request(subject, make([]byte, size), 2*time.Second)
		if err != nil {
			return err.Error()
		}
		return string(answer.Data)
	}
	require.Contains(t, publish("capi.events.1234567890", 1000), `"stream":"CAPI"`)
	require.Contains(t, publish("capi.events.1", 1000), nats.ErrNoResponders.Error(), "another's dataset")
	require.Contains(t, publish("capi.parked.due.1", 1000), nats.ErrNoResponders.Error())
	require.EqualValues(t, 256<<10, shop.MaxPayload())
	var last string
	for range 20 {
		if last = publish("capi.events.1234567890", 100_000); strings.Contains(last, "error") {
			break
		}
	}
	require.Contains(t, last, "resource limits exceeded for account")
	watch.Look(t.Context())
	reason, _ = watch.Filling()
	require.Regexp(t, `^the account holds .* of 1\.049MB, 100 % of the messages for dataset 1234567890$`, reason)
}
