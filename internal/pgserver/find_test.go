package pgserver_test

import (
	"os"
	"path/filepath"
	"testing"

	"importer/internal/pgserver"
)

// TestFind looks before the first start, while the server runs, and after.
func TestFind(t *testing.T) {
	t.Parallel()
	root := filepath.Join(openDir(t, 0), "not", "made")
	o := pgserver.Options{Root: root}
	found, err := pgserver.Find(o)
	if err != nil || found.Major != 0 || found.DSN != "" || found.Binary.Version == "" {
		t.Errorf("before the first start: %+v, %v", found, err)
	}
	if _, err := os.Stat(filepath.Dir(root)); !os.IsNotExist(err) {
		t.Errorf("looking made %s (%v)", filepath.Dir(root), err)
	}
	c := start(t, root)
	found, err = pgserver.Find(o)
	if err != nil || found.Major != found.Binary.Major || found.DSN != c.DSN() {
		t.Errorf("while it runs: %+v, %v, want DSN %s", found, err, c.DSN())
	}
	if got := connect(t, found.DSN).must(t, "SELECT 1"); got != "1" {
		t.Errorf("got %q", got)
	}
	must(t, c.Stop(t.Context()))
	if found, err = pgserver.Find(o); err != nil || found.Major == 0 || found.DSN != "" {
		t.Errorf("after it stopped: %+v, %v", found, err)
	}
	must(t, os.Remove(filepath.Join(root, "data", "PG_VERSION")))
	if _, err := pgserver.Find(o); err == nil {
		t.Error("a directory that is no cluster is no reason to complain")
	}
}
