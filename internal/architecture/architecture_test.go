// Package architecture_test holds the sizes that keep the code readable: what has
// outgrown them is to be split, and not excused.
package architecture_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const (
	mostFiles   = 15  // of a package
	mostMethods = 25  // of a type
	mostLines   = 350 // of a file
)

// pkg is a package as it is measured.
type pkg struct {
	files   int
	methods map[string]int // by type
	imports map[string]bool
}

const module = "github.com/capi-dispatcher/capi-dispatcher/"

func TestSizes(t *testing.T) {
	t.Parallel()
	for dir, p := range packages(t) {
		require.LessOrEqual(t, p.files, mostFiles, "files of %s", dir)
		for name, methods := range p.methods {
			require.LessOrEqual(t, methods, mostMethods, "methods of %s in %s", name, dir)
		}
	}
}

// What the dispatcher is made of can be understood without the path of an event.
func TestNoArrowRunsBackUp(t *testing.T) {
	t.Parallel()
	rooms := 0
	for dir, p := range packages(t) {
		if strings.HasPrefix(dir, "dispatcher/") {
			rooms++
			require.NotContains(t, p.imports, module+"dispatcher", dir)
			require.NotContains(t, p.imports, module+"config", dir)
		}
	}
	require.Greater(t, rooms, 10, "where are they?")
}

// packages measures all packages of the module, without their tests.
func packages(t *testing.T) map[string]*pkg {
	t.Helper()
	root, all := filepath.Join("..", ".."), make(map[string]*pkg)
	require.NoError(t, filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && isElsewhere(root, path):
			return fs.SkipDir
		case d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go"):
			return nil
		}
		dir, err := filepath.Rel(root, filepath.Dir(path))
		require.NoError(t, err)
		dir = filepath.ToSlash(dir)
		if all[dir] == nil {
			all[dir] = &pkg{methods: make(map[string]int), imports: make(map[string]bool)}
		}
		all[dir].add(t, path)
		return nil
	}))
	require.Greater(t, len(all), 20, "where is the code?")
	return all
}

// isElsewhere reports whether a directory is another module, or no code.
func isElsewhere(root, path string) bool {
	rel, _ := filepath.Rel(root, path)
	return rel == "charts" || rel != "." && strings.HasPrefix(filepath.Base(rel), ".") || strings.HasSuffix(rel, "testdata")
}

func (p *pkg) add(t *testing.T, path string) {
	t.Helper()
	set := token.NewFileSet()
	file, err := parser.ParseFile(set, path, nil, parser.SkipObjectResolution)
	require.NoError(t, err)
	p.files++
	require.LessOrEqual(t, set.File(file.Pos()).LineCount(), mostLines, "lines of %s", path)
	for _, spec := range file.Imports {
		p.imports[strings.Trim(spec.Path.Value, `"`)] = true
	}
	for _, decl := range file.Decls {
		if f, ok := decl.(*ast.FuncDecl); ok && f.Recv != nil {
			p.methods[receiver(f.Recv.List[0].Type)]++
		}
	}
}

// receiver is the name of a method's type.
func receiver(expr ast.Expr) string {
	switch e := expr.(type) {
	case *ast.StarExpr:
		return receiver(e.X)
	case *ast.IndexExpr:
		return receiver(e.X)
	case *ast.IndexListExpr:
		return receiver(e.X)
	case *ast.Ident:
		return e.Name
	default:
		return ""
	}
}
