package importer_test

import (
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "importer"

// mayImport is the architecture: what each package may import of this module,
// where "" is the root. A package under internal/ that is not listed may
// import the root only. cmd wires, so it may import everything.
var mayImport = map[string][]string{
	"":           {},
	"migrations": {},
	"db":         {"", "migrations"},
	"db/dbtest":  {"", "db", "migrations", "internal/pgserver"},
	"actors":     {""},
	"httpd":      {""},
	"client":     {""},
	"client/web": {},
}

// livesIn keeps each library in the packages that wrap it.
var livesIn = map[string][]string{
	"github.com/anthdm/hollywood":   {"actors"},
	"github.com/uptrace/bun":        {"db"},
	"github.com/jackc/pgx":          {"db"},
	"database/sql":                  {"db"},
	"github.com/coder/websocket":    {"httpd", "client"},
	"github.com/go-resty/resty":     {"client", "actors"},
	"github.com/danielgtaylor/huma": {"httpd"},
	"github.com/tus/tusd":           {"httpd"},
	"github.com/urfave/cli":         {"cmd"},
	"github.com/vbauerster/mpb":     {"cmd"},
	"github.com/rs/zerolog":         {"actors", "httpd", "db", "cmd", "internal"},
	"github.com/prometheus":         {"internal/metrics"},
	"github.com/minio/minio-go":     {"internal/spool"},
}

// Tests may reach across packages (they wire the real thing); the program
// may not.
func TestImportsFollowTheArchitecture(t *testing.T) {
	t.Parallel()
	err := filepath.WalkDir(".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if name != "." && (strings.HasPrefix(d.Name(), ".") || d.Name() == "node_modules" || d.Name() == "testdata" || d.Name() == "data") {
				return fs.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") {
			return nil
		}
		pkg := path.Dir(filepath.ToSlash(name))
		if pkg == "." {
			pkg = ""
		}
		f, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		for _, spec := range f.Imports {
			imported, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				return err
			}
			for _, complaint := range judge(pkg, imported) {
				t.Errorf("%s: %s", name, complaint)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestJudgeCatchesViolations(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		pkg, imported string
		ok            bool
	}{
		{"httpd", "importer", true},
		{"httpd", "importer/actors", false},
		{"actors", "importer/db", false},
		{"db", "importer/migrations", true},
		{"db", "github.com/uptrace/bun/dialect/pgdialect", true},
		{"actors", "github.com/jackc/pgx/v5", false},
		{"internal/csvfile", "importer/internal/spool", false},
		{"internal/csvfile", "importer", true},
		{"internal/metrics", "github.com/prometheus/client_golang/prometheus", true},
		{"internal/csvfile", "github.com/prometheus/client_golang/prometheus", false},
		{"httpd", "github.com/prometheus/client_golang/prometheus", false},
		{"cmd/importer", "github.com/minio/minio-go/v7", false},
		{"", "importer/db", false},
		{"", "github.com/rs/zerolog", false},
		{"cmd/importer", "importer/actors", true},
	} {
		if got := len(judge(c.pkg, c.imported)) == 0; got != c.ok {
			t.Errorf("%q importing %q: allowed %v, want %v", c.pkg, c.imported, got, c.ok)
		}
	}
}

// judge returns what is wrong with pkg importing imported.
func judge(pkg, imported string) (complaints []string) {
	top, _, _ := strings.Cut(pkg, "/")
	for library, homes := range livesIn {
		if within(imported, library) && !slices.Contains(homes, top) && !slices.Contains(homes, pkg) {
			complaints = append(complaints, imported+" belongs in "+strings.Join(homes, ", "))
		}
	}
	if !within(imported, module) {
		if pkg == "" && strings.Contains(imported, ".") && !within(imported, "github.com/google/uuid") && !within(imported, "golang.org/x/text") {
			complaints = append(complaints, "the root imports only the standard library, uuid and x/text, not "+imported)
		}
		return complaints
	}
	target := strings.TrimPrefix(strings.TrimPrefix(imported, module), "/")
	allowed, listed := mayImport[pkg]
	if !listed {
		allowed = []string{""}
	}
	if top != "cmd" && !slices.Contains(allowed, target) {
		complaints = append(complaints, strconv.Quote(pkg)+" may not import "+imported)
	}
	return complaints
}

// within reports whether the import path is tree or lies below it.
func within(importPath, tree string) bool {
	return importPath == tree || strings.HasPrefix(importPath, tree+"/")
}
