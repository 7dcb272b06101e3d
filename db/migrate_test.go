package db_test

import (
	"slices"
	"strings"
	"sync"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"importer"
	"importer/db/dbtest"
	"importer/migrations"
)

// emptied is a database without any schema.
func emptied(t *testing.T) (url string, conn *pgx.Conn) {
	t.Helper()
	url = dbtest.URL(t)
	conn = connect(t, url)
	mustExec(t, conn, "DROP SCHEMA public CASCADE")
	mustExec(t, conn, "CREATE SCHEMA public")
	return url, conn
}

func applied(t *testing.T, conn *pgx.Conn) []string {
	t.Helper()
	rows, err := conn.Query(t.Context(), "SELECT name FROM schema_migrations ORDER BY version")
	if err != nil {
		t.Fatal(err)
	}
	names, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	return names
}

func TestMigrateByManyAtOnceAndAgain(t *testing.T) {
	t.Parallel()
	url, conn := emptied(t)
	var want []string
	files, err := migrations.Files.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		want = append(want, strings.TrimSuffix(f.Name(), ".sql"))
	}

	var wg sync.WaitGroup
	for range 4 {
		d := dbtest.OpenURL(t, url)
		wg.Go(func() {
			if err := d.Migrate(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if diff := gocmp.Diff(want, applied(t, conn)); diff != "" {
		t.Errorf("applied (-want +got):\n%s", diff)
	}
	d := dbtest.OpenURL(t, url)
	if err := d.Migrate(t.Context()); err != nil {
		t.Errorf("again: %v", err)
	}
	merge(t, d, writing(t, d, 1), 0, rowsOf("a"))
}

// A migration of one branch may be merged after a later number of another.
func TestMigrateAppliesWhatIsMissingInBetween(t *testing.T) {
	t.Parallel()
	url := dbtest.URL(t)
	d, conn := dbtest.OpenURL(t, url), connect(t, url)
	if left, err := d.Unmigrated(t.Context()); err != nil || len(left) > 0 {
		t.Fatalf("unmigrated: %q, %v, want none", left, err)
	}
	mustExec(t, conn, "DROP TABLE remembered_answers")
	mustExec(t, conn, "DELETE FROM schema_migrations WHERE version = 8")
	if left, err := d.Unmigrated(t.Context()); err != nil || !slices.Equal(left, []string{"0008_remembered_answers"}) {
		t.Errorf("unmigrated: %q, %v, want number 8", left, err)
	}
	if err := d.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	if answer, err := d.Remembered(t.Context(), "k", "r"); answer != nil || err != nil {
		t.Errorf("remembered: %q, %v, want the table to be there and empty", answer, err)
	}
}

func TestAllIsUnmigratedInAnEmptyDatabase(t *testing.T) {
	t.Parallel()
	url, _ := emptied(t)
	if left, err := dbtest.OpenURL(t, url).Unmigrated(t.Context()); err != nil || len(left) < 9 || left[0] != "0001_products" {
		t.Errorf("got %q, %v, want all", left, err)
	}
}

func TestMigrateRefusesANewerDatabase(t *testing.T) {
	t.Parallel()
	url := dbtest.URL(t)
	d, conn := dbtest.OpenURL(t, url), connect(t, url)
	mustExec(t, conn, "INSERT INTO schema_migrations (version, name) VALUES (9999, '9999_future')")
	err := d.Migrate(t.Context())
	if importer.ErrorCode(err) != importer.Conflict || !strings.Contains(err.Error(), "9999") {
		t.Errorf("got %v, want a refusal that names version 9999", err)
	}
}

// TestOldReleaseOnANewerSchema reads rows that have columns it does not know.
func TestOldReleaseOnANewerSchema(t *testing.T) {
	t.Parallel()
	url := dbtest.URL(t)
	d, conn := dbtest.OpenURL(t, url), connect(t, url)
	for _, table := range []string{"imports", "import_batches", "import_rejects", "products", "stream_event"} {
		mustExec(t, conn, "ALTER TABLE "+table+" ADD COLUMN future text")
	}
	c := writing(t, d, 1)
	merge(t, d, c, 0, rowsOf("a"))
	if err := d.AddRejects(t.Context(), c.ID, c.Epoch, []importer.Reject{{Line: 2}}); err != nil {
		t.Error(err)
	}
	if err := d.EachReject(t.Context(), c.ID, func(importer.Reject) error { return nil }); err != nil {
		t.Error(err)
	}
	if _, err := d.TopicSnapshot(t.Context(), importer.TopicImports); err != nil {
		t.Error(err)
	}
	if _, err := d.Complete(t.Context(), c.ID, c.Epoch, scanOf(1, 0, 0)); err != nil {
		t.Error(err)
	}
}
