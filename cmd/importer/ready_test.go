package main

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
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

// One id leads from a request over the import it created to every line that an
// actor writes about it.
func TestIDsLeadThroughTheLog(t *testing.T) {
	t.Parallel()
	p := serveProcess(t, []string{"DATABASE_URL=" + dbtest.URL(t)}, "--data-dir", t.TempDir())
	req, err := http.NewRequest("POST", p.url+"/api/imports?filename=a.csv", strings.NewReader("sku,name\nA,B\n"))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("X-Request-Id", "from-the-proxy-17")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusAccepted {
		t.Fatalf("status %d", resp.StatusCode)
	}
	id := filepath.Base(resp.Header.Get("Location"))
	eventually(t, "the import ends", func() bool { return strings.Contains(p.log.String(), "import ends here") })
	log := p.log.String()
	if !regexp.MustCompile(`"request_id":"from-the-proxy-17","import_id":"` + id + `".*"import created"`).MatchString(log) {
		t.Errorf("no line has the request's id and import %s", id)
	}
	for line := range strings.Lines(log) {
		var l struct {
			Actor    string
			ImportID string `json:"import_id"`
		}
		if json.Unmarshal([]byte(line), &l) != nil {
			continue // what the server prints for people
		}
		if l.Actor == "import" && l.ImportID != id {
			t.Errorf("a line without the import's id: %s", line)
		}
	}
}
