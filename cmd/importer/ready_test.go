package main

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"importer/db/dbtest"
)

// TestReadinessSaysWhatIsMissing takes away one thing after the other.
func TestReadinessSaysWhatIsMissing(t *testing.T) {
	t.Parallel()
	url, dir := dbtest.URL(t), t.TempDir()
	p := serveProcess(t, []string{"DATABASE_URL=" + url}, "--data-dir", dir)
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	ask := func() (int, []string) {
		t.Helper()
		code, content := fetch(t, p.url+"/readyz")
		var answer struct{ Missing []string }
		if err := json.Unmarshal(content, &answer); err != nil {
			t.Fatalf("%v: %s", err, content)
		}
		return code, answer.Missing
	}
	want := func(what string, patterns ...string) {
		t.Helper()
		code, missing := ask()
		ok := len(missing) == len(patterns) && (code == http.StatusOK) == (len(patterns) == 0)
		for i := 0; ok && i < len(patterns); i++ {
			ok = strings.Contains(missing[i], patterns[i])
		}
		if !ok {
			t.Errorf("%s: status %d, missing %q, want %q", what, code, missing, patterns)
		}
	}
	want("all there")
	if _, err := conn.Exec(t.Context(), "DELETE FROM schema_migrations WHERE version = 2"); err != nil {
		t.Fatal(err)
	}
	want("one migration is missing", "0002_imports")
	// Root may write anywhere, so permissions would not do.
	if err := os.RemoveAll(filepath.Join(dir, "uploads")); err != nil {
		t.Fatal(err)
	}
	want("the uploads are gone, too", "0002_imports", "data directory")
	if _, err := conn.Exec(t.Context(), "INSERT INTO schema_migrations VALUES (9999, 'future'), (2, '0002_imports')"); err != nil {
		t.Fatal(err)
	}
	want("a newer release has migrated", "version 9999", "data directory")
	if err := os.Mkdir(filepath.Join(dir, "uploads"), 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Exec(t.Context(), "DELETE FROM schema_migrations WHERE version = 9999"); err != nil {
		t.Fatal(err)
	}
	want("all there again")
}
