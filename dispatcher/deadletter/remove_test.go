package deadletter_test

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/deadletter"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/natstest"
)

func TestRemove(t *testing.T) {
	t.Parallel()
	box, js := rig(t, full(), full())
	require.NoError(t, box.Remove(t.Context(), 1))
	require.ErrorIs(t, box.Remove(t.Context(), 1), deadletter.ErrNotFound, "somebody else was faster")
	require.ErrorIs(t, box.Remove(t.Context(), 99), deadletter.ErrNotFound)
	_, err := box.Get(t.Context(), 2)
	require.NoError(t, err)

	stream, err := js.Stream(t.Context(), "CAPI_DLQ")
	require.NoError(t, err)
	cfg := stream.CachedInfo().Config
	require.NoError(t, js.DeleteStream(t.Context(), cfg.Name))
	cfg.DenyDelete = true
	_, err = js.CreateStream(t.Context(), cfg)
	require.NoError(t, err)
	letter := full()
	_, err = js.PublishMsg(t.Context(), letter.Message("capi.dead", 1<<20))
	require.NoError(t, err)
	box, err = deadletter.Open(t.Context(), js, streams())
	require.NoError(t, err)
	err = box.Remove(t.Context(), 1)
	require.ErrorContains(t, err, "removing dead letter 1: ")
	require.NotErrorIs(t, err, deadletter.ErrNotFound)
}

// Between listing letters and deleting them, the stream is created anew: their
// numbers are those of other letters, which stay.
func TestNoLetterOfAnotherStreamIsDeleted(t *testing.T) {
	t.Parallel()
	box, js := rig(t, whole())
	letter, err := box.Get(t.Context(), 1)
	require.NoError(t, err)
	stream, err := js.Stream(t.Context(), "CAPI_DLQ")
	require.NoError(t, err)
	require.NoError(t, js.DeleteStream(t.Context(), "CAPI_DLQ"))
	stream, err = js.CreateStream(t.Context(), stream.CachedInfo().Config)
	require.NoError(t, err)
	another := full()
	_, err = js.PublishMsg(t.Context(), another.Message("capi.dead", 1<<20))
	require.NoError(t, err)

	require.ErrorIs(t, box.Remove(t.Context(), 1), deadletter.ErrRecreated)
	err = box.Replay(t.Context(), letter, false)
	require.ErrorIs(t, err, deadletter.ErrRecreated)
	require.ErrorContains(t, err, "dead letter 1 is replayed, and was not deleted")
	_, err = stream.GetMsg(t.Context(), 1)
	require.NoError(t, err, "the other letter is there")
}

// What is removed is overwritten, and not only marked as deleted.
func TestRemovedLettersAreOverwritten(t *testing.T) {
	t.Parallel()
	options := &server.Options{}
	running := natstest.StartWith(t, options)
	js := running.JetStream()
	_, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "CAPI_DLQ", Subjects: []string{"capi.dead.>"}})
	require.NoError(t, err)
	for _, person := range []string{"john@example.com", "jane@example.com", "joe@example.com"} {
		letter := deadletter.Letter{Event: []byte(person), Reason: deadletter.Invalid}
		_, err := js.PublishMsg(t.Context(), letter.Message("capi.dead", 1<<20))
		require.NoError(t, err)
	}
	box, err := deadletter.Open(t.Context(), js, streams())
	require.NoError(t, err)
	require.NoError(t, box.Remove(t.Context(), 1))
	stream, err := js.Stream(t.Context(), "CAPI_DLQ")
	require.NoError(t, err)
	require.NoError(t, stream.DeleteMsg(t.Context(), 2))
	running.Stop()
	require.False(t, onDisk(t, options.StoreDir, "john@example.com"))
	require.True(t, onDisk(t, options.StoreDir, "jane@example.com"), "which is deleted otherwise")
	require.True(t, onDisk(t, options.StoreDir, "joe@example.com"))
}

func onDisk(t *testing.T, dir, text string) (found bool) {
	t.Helper()
	require.NoError(t, filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		content, err := os.ReadFile(path)
		found = found || bytes.Contains(content, []byte(text))
		return err
	}))
	return found
}
