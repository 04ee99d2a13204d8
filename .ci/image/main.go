// Command image builds the program's container image, without a container
// engine: a static binary, the certificate authorities that it trusts and the
// licences of all that is in it, on nothing, for several platforms, with an SBOM
// each. The same commit gives the same image, bit for bit.
//
//	go run . [--platforms linux/amd64,linux/arm64] [--dir bin] [--push ghcr.io/you/capi-dispatcher --tags 1.2.3]
//	go run . --platforms linux/amd64 --base base.tar # only what the binary is put on, for Dockerfile
//
// Without --push the image is an OCI layout in bin/image, which crane, skopeo,
// podman and ctr read. ko does the work; what is here is its base image, which
// ko wants to pull from a registry, and gets from one in this process.
package main

import (
	"cmp"
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// options are what the command can be told.
type options struct {
	platforms string
	dir       string
	base      string
	push      string
	tags      string
}

func main() {
	var o options
	flag.StringVar(&o.platforms, "platforms", "linux/amd64,linux/arm64", "platforms, separated by commas")
	flag.StringVar(&o.dir, "dir", "", "directory for the OCI layout (image) and the SBOMs (image-sbom); empty: the repository's bin")
	flag.StringVar(&o.base, "base", "", "tar file for everything but the binary, of one platform; nothing else is built")
	flag.StringVar(&o.push, "push", "", "repository to push to; empty: only write the OCI layout")
	flag.StringVar(&o.tags, "tags", "latest", "tags, separated by commas")
	flag.Parse()
	if err := build(context.Background(), o); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// build makes the image from the repository that the working directory, this
// module's, is part of.
func build(ctx context.Context, o options) error {
	root, err := output(ctx, "git", "rev-parse", "--show-toplevel")
	if err != nil {
		return err
	}
	if o.base != "" {
		return writeBase(ctx, root, o)
	}
	commit, err := output(ctx, "git", "rev-parse", "HEAD")
	if err != nil {
		return err
	}
	date, err := output(ctx, "git", "log", "-1", "--format=%ct")
	if err != nil {
		return err
	}
	base, stop, err := serveBase(ctx, root, strings.Split(o.platforms, ","))
	if err != nil {
		return err
	}
	defer stop()
	return ko(ctx, root, base, commit, date, o)
}

// writeBase writes what the image is made of beside the binary.
func writeBase(ctx context.Context, root string, o options) error {
	platform, err := v1.ParsePlatform(o.platforms)
	if err != nil {
		return fmt.Errorf("platform %s: %w", o.platforms, err)
	}
	files, err := baseFiles(ctx, root, platform)
	if err != nil {
		return err
	}
	return os.WriteFile(o.base, files, 0o600)
}

// ko builds the image on a base. Its version and commit are what the Go tool
// finds in the repository, so the tree should be clean and its tags there.
func ko(ctx context.Context, root, base, commit, date string, o options) error {
	dir, err := filepath.Abs(cmp.Or(o.dir, filepath.Join(root, "bin")))
	if err != nil {
		return err
	}
	layout, sboms := filepath.Join(dir, "image"), filepath.Join(dir, "image-sbom")
	for _, dir := range []string{layout, sboms} {
		if err := os.RemoveAll(dir); err != nil {
			return err
		}
	}
	repository := o.push
	if repository == "" {
		repository = "capi-dispatcher.local/capi-dispatcher" // only a name: nothing is pushed
	}
	module := filepath.Join(root, ".ci", "image")
	//nolint:gosec // the arguments are of whoever builds
	cmd := exec.CommandContext(ctx, "go", "tool", "-modfile="+filepath.Join(module, "go.mod"), "ko", "build",
		"./cmd/capi-dispatcher",
		"--bare", "--platform="+o.platforms, "--tags="+o.tags, fmt.Sprintf("--push=%t", o.push != ""),
		"--oci-layout-path="+layout, "--sbom=spdx", "--sbom-dir="+sboms, "--image-user=65532:65532",
		"--image-label=org.opencontainers.image.title=capi-dispatcher",
		"--image-label=org.opencontainers.image.source=https://github.com/capi-dispatcher/capi-dispatcher",
		"--image-label=org.opencontainers.image.licenses=Apache-2.0",
		"--image-label=org.opencontainers.image.revision="+commit)
	cmd.Dir = root
	cmd.Env = append(os.Environ(), "KO_DOCKER_REPO="+repository, "KO_DEFAULTBASEIMAGE="+base, "KO_CONFIG_PATH="+module,
		"SOURCE_DATE_EPOCH="+date, "CGO_ENABLED=0", "GOFLAGS=-buildvcs=true")
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("ko: %w", err)
	}
	return nil
}

// output runs a command and returns what it prints.
func output(ctx context.Context, name string, args ...string) (string, error) {
	text, err := exec.CommandContext(ctx, name, args...).Output() //nolint:gosec // only called with git, above
	if err != nil {
		return "", fmt.Errorf("%s %s: %w", name, strings.Join(args, " "), err)
	}
	return strings.TrimSpace(string(text)), nil
}
