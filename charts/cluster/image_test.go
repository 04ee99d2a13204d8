package cluster_test

import (
	"archive/tar"
	"bytes"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/stretchr/testify/require"
)

const (
	registry   = "capi-dispatcher.local" // only a name: nothing is pulled
	repository = registry + "/capi-dispatcher/capi-dispatcher"
	pauseName  = registry + "/pause"
)

// workerImage is the program's image, as .ci/image has built it from this checkout.
func workerImage(t *testing.T) v1.Image {
	t.Helper()
	index, err := layout.ImageIndexFromPath(filepath.Join(binaries, "image"))
	require.NoError(t, err, "run make cluster-test")
	manifest, err := index.IndexManifest()
	require.NoError(t, err)
	require.Len(t, manifest.Manifests, 1, "one platform")
	image, err := index.Image(manifest.Manifests[0].Digest)
	require.NoError(t, err)
	return image
}

// nextImage is another image with the same program: a release that changes
// nothing, to upgrade to.
func nextImage(t *testing.T, image v1.Image) v1.Image {
	t.Helper()
	config, err := image.ConfigFile()
	require.NoError(t, err)
	next := config.DeepCopy().Config
	next.Labels["org.opencontainers.image.version"] = "next"
	changed, err := mutate.Config(image, next)
	require.NoError(t, err)
	return changed
}

// pauseImage is the image of the process that holds a pod's namespaces.
func pauseImage(t *testing.T) v1.Image {
	t.Helper()
	program, err := os.ReadFile(filepath.Join(binaries, "pause"))
	require.NoError(t, err, "run make cluster-test")
	var archive bytes.Buffer
	w := tar.NewWriter(&archive)
	require.NoError(t, w.WriteHeader(&tar.Header{Name: "pause", Mode: 0o755, Size: int64(len(program))}))
	_, err = w.Write(program)
	require.NoError(t, err)
	require.NoError(t, w.Close())
	layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(archive.Bytes())), nil })
	require.NoError(t, err)
	image, err := mutate.AppendLayers(empty.Image, layer)
	require.NoError(t, err)
	image, err = mutate.Config(image, v1.Config{Entrypoint: []string{"/pause"}, User: "65535:65535"})
	require.NoError(t, err)
	return image
}

// load gives containerd an image, under its name and digest, and returns the
// digest.
func (n *node) load(name string, image v1.Image) (digest string) {
	n.t.Helper()
	hash, err := image.Digest()
	require.NoError(n.t, err)
	dir := n.t.TempDir()
	path, err := layout.Write(dir, empty.Index)
	require.NoError(n.t, err)
	require.NoError(n.t, path.AppendImage(image, layout.WithAnnotations(map[string]string{"io.containerd.image.name": name + "@" + hash.String()})))
	var archive bytes.Buffer
	w := tar.NewWriter(&archive)
	require.NoError(n.t, w.AddFS(os.DirFS(dir)))
	require.NoError(n.t, w.Close())
	n.ctr(&archive, "images", "import", "-")
	return hash.String()
}

// ctr runs containerd's own client, and returns what it prints.
func (n *node) ctr(input io.Reader, args ...string) string {
	n.t.Helper()
	cmd := exec.CommandContext(n.t.Context(), filepath.Join(binaries, "ctr"), append([]string{"--address", n.socket, "--namespace", "k8s.io"}, args...)...)
	var complaints strings.Builder
	cmd.Stdin, cmd.Stderr = input, &complaints
	out, err := cmd.Output()
	require.NoError(n.t, err, "ctr %v: %s", args, &complaints)
	return string(out)
}
