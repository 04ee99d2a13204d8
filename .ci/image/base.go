package main

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"golang.org/x/crypto/x509roots/fallback/bundle"
)

// baseAddress is always the same, because the image tells its base's name.
const baseAddress = "127.0.0.1:26532"

// serveBase serves the base image on a registry in this process, and returns
// its reference.
func serveBase(ctx context.Context, root string, platforms []string) (ref string, stop func(), err error) {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", baseAddress)
	if err != nil {
		return "", nil, fmt.Errorf("registry for the base image: %w", err)
	}
	server := &http.Server{
		Handler:           registry.New(registry.Logger(log.New(io.Discard, "", 0))),
		ReadHeaderTimeout: 5 * time.Second,
	}
	go func() { _ = server.Serve(listener) }()
	stop = func() { _ = server.Close() }
	ref = baseAddress + "/base:latest"
	if err := push(ctx, ref, root, platforms); err != nil {
		stop()
		return "", nil, fmt.Errorf("base image: %w", err)
	}
	return ref, stop, nil
}

func push(ctx context.Context, ref, root string, platforms []string) error {
	tag, err := name.NewTag(ref)
	if err != nil {
		return err
	}
	index, err := baseIndex(ctx, root, platforms)
	if err != nil {
		return err
	}
	return remote.WriteIndex(tag, index, remote.WithContext(ctx))
}

func baseIndex(ctx context.Context, root string, platforms []string) (v1.ImageIndex, error) {
	index := v1.ImageIndex(empty.Index)
	for _, text := range platforms {
		platform, err := v1.ParsePlatform(text)
		if err != nil {
			return nil, fmt.Errorf("platform %s: %w", text, err)
		}
		files, err := baseFiles(ctx, root, platform)
		if err != nil {
			return nil, err
		}
		image, err := baseImage(files, platform)
		if err != nil {
			return nil, err
		}
		index = mutate.AppendManifests(index, mutate.IndexAddendum{Add: image, Descriptor: v1.Descriptor{Platform: platform}})
	}
	return index, nil
}

func baseImage(files []byte, platform *v1.Platform) (v1.Image, error) {
	layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(files)), nil
	})
	if err != nil {
		return nil, err
	}
	image, err := mutate.ConfigFile(empty.Image, &v1.ConfigFile{
		OS: platform.OS, Architecture: platform.Architecture, Variant: platform.Variant,
		RootFS: v1.RootFS{Type: "layers"},
		Config: v1.Config{User: "65532:65532", WorkingDir: "/"},
	})
	if err != nil {
		return nil, err
	}
	return mutate.AppendLayers(image, layer)
}

// file is a file of the image, or a directory: then its name ends in a slash.
type file struct {
	name string
	mode int64
	text []byte
}

// baseFiles is everything in the image but the program, as a tar file.
func baseFiles(ctx context.Context, root string, platform *v1.Platform) ([]byte, error) {
	licences, err := licences(ctx, root, platform)
	if err != nil {
		return nil, err
	}
	return archive(append([]file{
		{"etc/", 0o755, nil},
		{"etc/passwd", 0o644, []byte("root:x:0:0:root:/:/sbin/nologin\ncapi:x:65532:65532::/:/sbin/nologin\n")},
		{"etc/group", 0o644, []byte("root:x:0:\ncapi:x:65532:\n")},
		{"etc/ssl/", 0o755, nil},
		{"etc/ssl/certs/", 0o755, nil},
		{"etc/ssl/certs/ca-certificates.crt", 0o644, authorities()},
		{"tmp/", 0o1777, nil},
	}, licences...))
}

// archive makes a tar file. Times are left at zero.
func archive(files []file) ([]byte, error) {
	var buffer bytes.Buffer
	archive := tar.NewWriter(&buffer)
	for _, file := range files {
		header := &tar.Header{Name: file.name, Mode: file.mode, Size: int64(len(file.text)), Typeflag: tar.TypeReg}
		if strings.HasSuffix(file.name, "/") {
			header.Typeflag = tar.TypeDir
		}
		if err := archive.WriteHeader(header); err != nil {
			return nil, err
		}
		if _, err := archive.Write(file.text); err != nil {
			return nil, err
		}
	}
	err := archive.Close()
	return buffer.Bytes(), err
}

// authorities are those that Mozilla trusts, out of a Go module, so that they
// don't depend on the machine. Those trusted under conditions are left out: a
// file cannot hold the conditions.
func authorities() []byte {
	var text bytes.Buffer
	for root := range bundle.Roots() {
		if root.Constraint == nil {
			text.Write(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: root.Certificate}))
		}
	}
	return text.Bytes()
}
