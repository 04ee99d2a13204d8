package main

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strconv"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// accepted are the licences under which others' modules may be in the image:
// all of them ask for their text to come along, and for nothing more.
const accepted = "Apache-2.0,BSD-2-Clause,BSD-3-Clause,MIT"

// licences are the texts of the licences of all that is in the image, and the
// notices: of every module of the program, of Go's own library, and of the
// module that the authorities are from. A module without a licence, or with one
// that is not accepted, is an error.
func licences(ctx context.Context, root string, platform *v1.Platform) ([]file, error) {
	dir, err := os.MkdirTemp("", "licences-")
	if err != nil {
		return nil, err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	// Built, and not run: it has to be of this machine's platform.
	program, err := output(ctx, "go", "tool", "-n", "go-licenses")
	if err != nil {
		return nil, err
	}
	for i, source := range []struct{ module, pkg string }{
		{root, "./cmd/capi-dispatcher"},
		{filepath.Join(root, ".ci", "image"), "golang.org/x/crypto/x509roots/fallback/bundle"},
	} {
		into := filepath.Join(dir, strconv.Itoa(i))
		if err := (licenceTool{program, source.module, platform}).collect(ctx, source.pkg, into); err != nil {
			return nil, fmt.Errorf("licences of %s: %w", source.pkg, err)
		}
		if err := os.CopyFS(filepath.Join(dir, "all"), os.DirFS(into)); err != nil {
			return nil, err
		}
	}
	if err := copyLibrary(ctx, filepath.Join(dir, "all", "std")); err != nil {
		return nil, fmt.Errorf("licence of Go's library: %w", err)
	}
	return readFiles(os.DirFS(filepath.Join(dir, "all")), "licenses")
}

// licenceTool is go-licenses, for the modules of a directory.
type licenceTool struct {
	program  string
	module   string // its directory
	platform *v1.Platform
}

// collect checks the licences of a package and of all that it depends on, and
// saves them in a new directory.
func (l licenceTool) collect(ctx context.Context, pkg, into string) error {
	if err := l.run(ctx, "check", pkg, "--allowed_licenses="+accepted); err != nil {
		return err
	}
	return l.run(ctx, "save", pkg, "--save_path="+into)
}

func (l licenceTool) run(ctx context.Context, args ...string) error {
	cmd := exec.CommandContext(ctx, l.program, args...) //nolint:gosec // what go tool has built
	cmd.Dir = l.module
	cmd.Env = append(os.Environ(), "GOOS="+l.platform.OS, "GOARCH="+l.platform.Architecture, "CGO_ENABLED=0")
	if text, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("go-licenses %s: %w: %s", args[0], err, text)
	}
	return nil
}

// copyLibrary copies the licence of Go's own library, which the tool leaves out.
func copyLibrary(ctx context.Context, into string) error {
	goroot, err := output(ctx, "go", "env", "GOROOT")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(into, 0o755); err != nil { //nolint:gosec // for everybody to read
		return err
	}
	for _, name := range []string{"LICENSE", "PATENTS"} {
		text, err := os.ReadFile(filepath.Join(goroot, name))
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(into, name), text, 0o644); err != nil { //nolint:gosec // likewise
			return err
		}
	}
	return nil
}

// readFiles reads a tree, in the order of its names.
func readFiles(tree fs.FS, under string) (files []file, err error) {
	err = fs.WalkDir(tree, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() {
			files = append(files, file{name: path.Join(under, name) + "/", mode: 0o755})
			return nil
		}
		text, err := fs.ReadFile(tree, name)
		files = append(files, file{path.Join(under, name), 0o644, text})
		return err
	})
	return files, err
}
