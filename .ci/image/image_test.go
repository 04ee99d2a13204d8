package main

import (
	"archive/tar"
	"bytes"
	"debug/buildinfo"
	"errors"
	"io"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/stretchr/testify/require"
)

// The image holds the licence of each module that is linked into its program,
// and the same commit gives the same image.
func TestTheImage(t *testing.T) {
	t.Parallel()
	first, second := built(t), built(t)
	require.Equal(t, digest(t, first), digest(t, second), "of the same commit")

	files := contents(t, first)
	requireLicences(t, modules(t, files["ko-app/capi-dispatcher"]), files)
	require.Contains(t, string(files["licenses/std/LICENSE"]), "The Go Authors")
	require.Contains(t, string(files["licenses/github.com/capi-dispatcher/capi-dispatcher/LICENSE"]), "Apache License")
	require.Contains(t, string(files["etc/ssl/certs/ca-certificates.crt"]), "BEGIN CERTIFICATE")
	config, err := first.ConfigFile()
	require.NoError(t, err)
	require.Equal(t, "65532:65532", config.Config.User)
}

func built(t *testing.T) v1.Image {
	t.Helper()
	dir, err := os.MkdirTemp("", "image-") //nolint:usetesting // ko wants no capitals in its name
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, os.RemoveAll(dir)) })
	require.NoError(t, build(t.Context(), options{platforms: "linux/" + runtime.GOARCH, dir: dir, tags: "latest"}))
	index, err := layout.ImageIndexFromPath(filepath.Join(dir, "image"))
	require.NoError(t, err)
	manifest, err := index.IndexManifest()
	require.NoError(t, err)
	require.Len(t, manifest.Manifests, 1)
	image, err := index.Image(manifest.Manifests[0].Digest)
	require.NoError(t, err)
	return image
}

func digest(t *testing.T, image v1.Image) string {
	t.Helper()
	hash, err := image.Digest()
	require.NoError(t, err)
	return hash.String()
}

// contents are the files of an image.
func contents(t *testing.T, image v1.Image) map[string][]byte {
	t.Helper()
	all := mutate.Extract(image)
	defer func() { require.NoError(t, all.Close()) }()
	files := make(map[string][]byte)
	for archive := tar.NewReader(all); ; {
		header, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return files
		}
		require.NoError(t, err)
		if header.Typeflag != tar.TypeReg {
			continue
		}
		text, err := io.ReadAll(archive)
		require.NoError(t, err)
		files[strings.TrimPrefix(header.Name, "/")] = text
	}
}

// modules are those that are linked into a program, itself included.
func modules(t *testing.T, program []byte) (names []string) {
	t.Helper()
	info, err := buildinfo.Read(bytes.NewReader(program))
	require.NoError(t, err)
	require.Greater(t, len(info.Deps), 50)
	for _, module := range append(info.Deps, &info.Main) {
		names = append(names, module.Path)
	}
	return names
}

// requireLicences asserts that each module has a licence among the files: in
// its own directory or below, beside the packages that are used, but not in
// that of another module.
func requireLicences(t *testing.T, modules []string, files map[string][]byte) {
	t.Helper()
	licensed := make(map[string]bool)
	for name := range files {
		if dir, ok := strings.CutPrefix(path.Dir(name), "licenses/"); ok && strings.HasPrefix(path.Base(name), "LICEN") {
			owner := ""
			for _, module := range modules {
				if strings.HasPrefix(dir+"/", module+"/") && len(module) > len(owner) {
					owner = module
				}
			}
			licensed[owner] = true
		}
	}
	for _, module := range modules {
		require.True(t, licensed[module], "%s has no licence in the image", module)
	}
}

// What may not be passed on, or not like this, is refused; so is what has no
// licence at all.
func TestALicenceThatIsNotAcceptedIsRefused(t *testing.T) {
	t.Parallel()
	program, err := output(t.Context(), "go", "tool", "-n", "go-licenses")
	require.NoError(t, err)
	texts, err := output(t.Context(), "go", "list", "-m", "-f", "{{.Dir}}", "github.com/google/licenseclassifier/v2")
	require.NoError(t, err)
	for licence, accepted := range map[string]bool{
		"MIT/pristine.txt": true, "Apache-2.0/pristine.txt": true,
		"GPL-3.0/license.txt": false, "AGPL-3.0/license.txt": false, "MPL-2.0/license.txt": false, "": false,
	} {
		t.Run(licence, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			require.NoError(t, os.WriteFile(filepath.Join(dir, "go.mod"), []byte("module example.com/theirs\n"), 0o600))
			require.NoError(t, os.WriteFile(filepath.Join(dir, "theirs.go"), []byte("package theirs\n"), 0o600))
			if licence != "" {
				text, err := os.ReadFile(filepath.Join(texts, "assets", "License", licence))
				require.NoError(t, err)
				require.NoError(t, os.WriteFile(filepath.Join(dir, "LICENSE"), text, 0o600))
			}
			tool := licenceTool{program, dir, &v1.Platform{OS: runtime.GOOS, Architecture: runtime.GOARCH}}
			err := tool.collect(t.Context(), ".", filepath.Join(t.TempDir(), "into"))
			require.Equal(t, accepted, err == nil, "%v", err)
		})
	}
}

// A tag can be moved to another image; a digest cannot.
func TestEveryBaseImageIsNamedByItsDigest(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../Dockerfile")
	require.NoError(t, err)
	stages := []string{"scratch"}
	for _, from := range regexp.MustCompile(`(?m)^FROM (?:--platform=\S+ )?(\S+)(?: AS (\S+))?$`).FindAllStringSubmatch(string(text), -1) {
		if !slices.Contains(stages, from[1]) {
			require.Regexp(t, `@sha256:[0-9a-f]{64}$`, from[1])
		}
		stages = append(stages, from[2])
	}
	require.Len(t, stages, 1+strings.Count(string(text), "\nFROM "))
}
