package db_test

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/rs/zerolog"

	"importer"
	"importer/db"
	"importer/db/dbtest"
)

var ways = []importer.MergeWay{"", "copy", "filter", "wary", "upsert"}

// rowsOf makes rows with these SKUs.
func rowsOf(skus ...string) []importer.Row {
	rows := make([]importer.Row, len(skus))
	for i, sku := range skus {
		rows[i] = importer.Row{SKU: sku, Key: importer.SKUKey(sku), Name: "name of " + sku, Description: "about " + sku}
	}
	return rows
}

// merge writes a batch of a claimed import.
func merge(t testing.TB, d *db.DB, c importer.Claim, number int, rows []importer.Row) importer.Merged {
	t.Helper()
	m, err := d.MergeBatch(t.Context(), batchOf(c, number, rows), "")
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func batchOf(c importer.Claim, number int, rows []importer.Row) importer.Batch {
	return importer.Batch{ImportID: c.ID, Epoch: c.Epoch, Number: number, Rows: rows, HasDescription: true}
}

// stored is a product as far as a merge has a say in it, and where its row is.
type stored struct {
	SKU, Name, Description string
	Active                 bool
	Version                int64
	Row                    string // ctid and xmin: differs once the row is written
	Lock                   string // xmax: differs once the row is locked
}

func catalogue(t testing.TB, conn *pgx.Conn) map[string]stored {
	t.Helper()
	rows, err := conn.Query(t.Context(), "SELECT sku_key, sku, name, description, active, version, ctid::text || xmin, xmax::text FROM products")
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]stored{}
	var key string
	var p stored
	_, err = pgx.ForEachRow(rows, []any{&key, &p.SKU, &p.Name, &p.Description, &p.Active, &p.Version, &p.Row, &p.Lock}, func() error {
		all[key] = p
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func mustExec(t testing.TB, conn interface {
	Exec(context.Context, string, ...any) (pgconn.CommandTag, error)
}, sql string, args ...any) {
	t.Helper()
	if _, err := conn.Exec(t.Context(), sql, args...); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
}

// TestMergeCountsExactly has a row of every kind in one batch.
func TestMergeCountsExactly(t *testing.T) {
	t.Parallel()
	for _, way := range ways {
		t.Run("way "+string(way), func(t *testing.T) {
			t.Parallel()
			url := dbtest.URL(t)
			d, conn := dbtest.OpenURL(t, url), connect(t, url)
			c := writing(t, d, 0)
			merge(t, d, c, 0, rowsOf("description", "name", "other", "same", "spelling"))
			mustExec(t, conn, "UPDATE products SET active = false, created_at = '2020-01-01', updated_at = '2020-01-01'")

			rows := rowsOf("Description", "name", "new 'q' \\ \"é\"", "same", "SPELLING")
			rows[0] = importer.Row{SKU: "description", Key: "description", Name: "name of description", Description: ""}
			rows[1].Name = "another"
			rows[4].Name, rows[4].Description = "name of spelling", "about spelling"
			m, err := d.MergeBatch(t.Context(), batchOf(c, 1, rows), way)
			if err != nil {
				t.Fatal(err)
			}
			if m.Created != 1 || m.Updated != 3 || m.Unchanged != 1 || m.Again {
				t.Errorf("got %+v, want 1 created, 3 updated, 1 unchanged", m)
			}
			want := map[string]stored{
				"description":      {SKU: "description", Name: "name of description", Version: 2},
				"name":             {SKU: "name", Name: "another", Description: "about name", Version: 2},
				"new 'q' \\ \"é\"": {SKU: "new 'q' \\ \"é\"", Name: "name of new 'q' \\ \"é\"", Description: "about new 'q' \\ \"é\"", Active: true, Version: 1},
				"other":            {SKU: "other", Name: "name of other", Description: "about other", Version: 1},
				"same":             {SKU: "same", Name: "name of same", Description: "about same", Version: 1},
				"spelling":         {SKU: "SPELLING", Name: "name of spelling", Description: "about spelling", Version: 2},
			}
			if diff := gocmp.Diff(want, catalogue(t, conn), ignoreRows); diff != "" {
				t.Errorf("catalogue (-want +got):\n%s", diff)
			}
			var touched []string
			err = conn.QueryRow(t.Context(), `SELECT array_agg(sku_key ORDER BY sku_key) FROM products
				WHERE created_at = '2020-01-01' AND updated_at > '2020-01-02'`).Scan(&touched)
			if diff := gocmp.Diff([]string{"description", "name", "spelling"}, touched); err != nil || diff != "" {
				t.Errorf("updated_at moved: %v (-want +got):\n%s", err, diff)
			}
		})
	}
}

var ignoreRows = gocmp.FilterPath(func(p gocmp.Path) bool {
	return p.Last().String() == ".Row" || p.Last().String() == ".Lock"
}, gocmp.Ignore())

func TestMergeWithoutDescriptionColumn(t *testing.T) {
	t.Parallel()
	for _, way := range ways {
		t.Run("way "+string(way), func(t *testing.T) {
			t.Parallel()
			url := dbtest.URL(t)
			d, conn := dbtest.OpenURL(t, url), connect(t, url)
			c := writing(t, d, 0)
			merge(t, d, c, 0, rowsOf("changed", "same"))
			b := batchOf(c, 1, []importer.Row{
				{SKU: "changed", Key: "changed", Name: "x"}, {SKU: "new", Key: "new", Name: "y"}, {SKU: "same", Key: "same", Name: "name of same"},
			})
			b.HasDescription = false
			m, err := d.MergeBatch(t.Context(), b, way)
			if err != nil || m.Created != 1 || m.Updated != 1 || m.Unchanged != 1 {
				t.Errorf("got %+v, %v, want one of each", m, err)
			}
			want := map[string]stored{
				"changed": {SKU: "changed", Name: "x", Description: "about changed", Active: true, Version: 2},
				"new":     {SKU: "new", Name: "y", Active: true, Version: 1},
				"same":    {SKU: "same", Name: "name of same", Description: "about same", Active: true, Version: 1},
			}
			if diff := gocmp.Diff(want, catalogue(t, conn), ignoreRows); diff != "" {
				t.Errorf("catalogue (-want +got):\n%s", diff)
			}
		})
	}
}

func TestMergingTheSameAgainWritesNoRow(t *testing.T) {
	t.Parallel()
	url := dbtest.URL(t)
	d, conn := dbtest.OpenURL(t, url), connect(t, url)
	c := writing(t, d, 0)
	var skus []string
	for i := range 1000 {
		skus = append(skus, fmt.Sprintf("sku-%04d", i))
	}
	merge(t, d, c, 0, rowsOf(skus...))
	before := catalogue(t, conn)
	for i, way := range []importer.MergeWay{"", "filter", "wary"} {
		m, err := d.MergeBatch(t.Context(), batchOf(c, i+1, rowsOf(skus...)), way)
		if err != nil || m.Unchanged != 1000 || m.Created+m.Updated != 0 {
			t.Errorf("way %q: got %+v, %v, want 1000 unchanged", way, m, err)
		}
		if diff := gocmp.Diff(before, catalogue(t, conn)); diff != "" {
			t.Errorf("way %q: rows were touched (-before +after):\n%s", way, diff)
		}
	}
}

// TestWays follows a writer through catalogues that change under it.
func TestWays(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name         string
		way          importer.MergeWay
		skus, change string
		want         importer.MergeWay
	}{
		{"filled, half known", "", "a new", "", "filter"},
		{"copy of new rows", "copy", "new1 new2", "", "copy"},
		{"copy meets a known row", "copy", "a new", "", "wary"},
		{"copy meets only known rows", "copy", "a b", "", "wary"},
		{"wary of some known", "wary", "a new", "", "wary"},
		{"wary of all new", "wary", "new1 new2", "", "filter"},
		{"filter of all new", "filter", "new1 new2", "", "copy"},
		{"filter of equal rows", "filter", "a b", "", "filter"},
		{"filter of changed rows", "filter", "a b", "changed", "upsert"},
		{"filter of changed and new rows", "filter", "a new", "changed", "upsert"},
		{"upsert of changed rows", "upsert", "a b", "changed", "upsert"},
		{"upsert with an equal row", "upsert", "a b", "", "filter"},
		{"upsert of all new", "upsert", "new1 new2", "", "copy"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			d := dbtest.Open(t)
			c := writing(t, d, 0)
			if first := merge(t, d, c, 0, rowsOf("a", "b")); first.Next != "copy" {
				t.Fatalf("into the empty catalogue: got next %q, want copy", first.Next)
			}
			rows := rowsOf(strings.Fields(test.skus)...)
			for i := range rows {
				rows[i].Name += test.change
			}
			m, err := d.MergeBatch(t.Context(), batchOf(c, 1, rows), test.way)
			if err != nil || m.Next != test.want {
				t.Errorf("got next %q, %v, want %q", m.Next, err, test.want)
			}
		})
	}
}

func TestMergingABatchTwiceReturnsTheLedger(t *testing.T) {
	t.Parallel()
	url := dbtest.URL(t)
	d, conn := dbtest.OpenURL(t, url), connect(t, url)
	c := writing(t, d, 0)
	merge(t, d, c, 0, rowsOf("a", "b"))
	changed := rowsOf("b", "c")
	changed[0].Name = "changed"
	first := merge(t, d, c, 1, changed)
	mustExec(t, conn, "UPDATE products SET name = 'edited meanwhile' WHERE sku = 'b'")
	before := catalogue(t, conn)
	for _, way := range ways {
		again, err := d.MergeBatch(t.Context(), batchOf(c, 1, changed), way)
		if err != nil || !again.Again || again.Created != first.Created || again.Updated != first.Updated || again.Unchanged != first.Unchanged {
			t.Errorf("way %q: got %+v, %v, want the counts of %+v again", way, again, err, first)
		}
		after := catalogue(t, conn)
		if diff := gocmp.Diff(before, after, gocmp.FilterPath(func(p gocmp.Path) bool { return p.Last().String() == ".Lock" }, gocmp.Ignore())); diff != "" {
			t.Errorf("way %q: written again (-before +after):\n%s", way, diff)
		}
	}
	if _, sum, err := d.Ledger(t.Context(), c.ID); err != nil || sum.Created != 3 || sum.Updated != 1 {
		t.Errorf("ledger: got %+v, %v", sum, err)
	}
}

func TestMergeAfterTheEndWritesNothing(t *testing.T) {
	t.Parallel()
	url := dbtest.URL(t)
	d, conn := dbtest.OpenURL(t, url), connect(t, url)
	ends := map[string]func(importer.Claim) error{
		"cancel": func(c importer.Claim) error { _, err := d.CancelImport(t.Context(), c.ID); return err },
		"fail": func(c importer.Claim) error {
			_, err := d.Fail(t.Context(), c.ID, c.Epoch, importer.Scan{}, importer.ImportError{})
			return err
		},
		"takeover": func(c importer.Claim) error {
			mustExec(t, conn, "UPDATE imports SET lease_until = now() WHERE id = $1", c.ID)
			claims, err := d.ClaimImports(t.Context(), nodeB, 1)
			if err == nil && len(claims) != 1 {
				err = errors.New("nothing to take over")
			}
			return err
		},
	}
	for name, end := range ends {
		c := writing(t, d, 0)
		if err := end(c); err != nil {
			t.Fatal(err)
		}
		for _, way := range ways {
			m, err := d.MergeBatch(t.Context(), batchOf(c, 0, rowsOf("x")), way)
			if !errors.Is(err, importer.ErrLeaseLost) || m.Created != 0 {
				t.Errorf("%s, way %q: got %+v, %v, want %v", name, way, m, err, importer.ErrLeaseLost)
			}
		}
		if got := catalogue(t, conn); len(got) != 0 {
			t.Errorf("%s: got %v in the catalogue, want nothing", name, got)
		}
	}
}

// TestCancelDuringABatch holds a batch at a row that somebody else inserts,
// and cancels its import meanwhile.
func TestCancelDuringABatch(t *testing.T) {
	t.Parallel()
	for _, way := range ways {
		t.Run("way "+string(way), func(t *testing.T) {
			t.Parallel()
			url := dbtest.URL(t)
			d, conn := dbtest.OpenURL(t, url), connect(t, url)
			c := writing(t, d, 3)
			other := begin(t, conn)
			mustExec(t, other, "INSERT INTO products (sku, sku_key, name) VALUES ('b', 'b', 'b')")
			merged := make(chan error, 1)
			go func() {
				_, err := d.MergeBatch(t.Context(), batchOf(c, 0, rowsOf("a", "b", "c")), way)
				merged <- err
			}()
			waitForLock(t, url)

			i, err := d.CancelImport(t.Context(), c.ID)
			if err != nil || i.Counts.Written() != 0 {
				t.Errorf("cancelled: got %+v, %v", i.Counts, err)
			}
			if err := other.Rollback(t.Context()); err != nil {
				t.Fatal(err)
			}
			if err := <-merged; !errors.Is(err, importer.ErrLeaseLost) {
				t.Errorf("the batch: got %v, want %v", err, importer.ErrLeaseLost)
			}
			if got := catalogue(t, conn); len(got) != 0 {
				t.Errorf("got %v in the catalogue, want nothing", got)
			}
		})
	}
}

// TestCancelWaitsForARecordedBatch has a batch between its last statement and
// its commit.
func TestCancelWaitsForARecordedBatch(t *testing.T) {
	t.Parallel()
	url := dbtest.URL(t)
	d, conn := dbtest.OpenURL(t, url), connect(t, url)
	c := writing(t, d, 3)
	batch := begin(t, conn)
	mustExec(t, batch, `INSERT INTO import_batches SELECT id, 0, 3, 0, 0 FROM imports WHERE id = $1 FOR SHARE`, c.ID)
	cancelled := make(chan importer.Import, 1)
	go func() {
		i, err := d.CancelImport(t.Context(), c.ID)
		if err != nil {
			t.Error(err)
		}
		cancelled <- i
	}()
	waitForLock(t, url)
	if err := batch.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	if i := <-cancelled; i.Counts.Created != 3 {
		t.Errorf("got %+v, want the 3 rows that were recorded", i.Counts)
	}
}

// TestBatchWaitsForAChangeOfItsImport has a cancellation between its change
// and its commit.
func TestBatchWaitsForAChangeOfItsImport(t *testing.T) {
	t.Parallel()
	url := dbtest.URL(t)
	d, conn := dbtest.OpenURL(t, url), connect(t, url)
	c := writing(t, d, 1)
	cancel := begin(t, conn)
	mustExec(t, cancel, "UPDATE imports SET state = 'cancelled' WHERE id = $1", c.ID)
	merged := make(chan error, 1)
	go func() {
		_, err := d.MergeBatch(t.Context(), batchOf(c, 0, rowsOf("a")), "")
		merged <- err
	}()
	waitForLock(t, url)
	if err := cancel.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := <-merged; !errors.Is(err, importer.ErrLeaseLost) {
		t.Errorf("got %v, want %v", err, importer.ErrLeaseLost)
	}
}

// TestRowsAreLockedInKeyOrder stops a batch at a row in its middle: it must
// have locked those before and none after, whatever the order it came in.
func TestRowsAreLockedInKeyOrder(t *testing.T) {
	t.Parallel()
	for way, rows := range map[importer.MergeWay][]importer.Row{
		"copy": rowsOf("a", "m", "z"), "filter": rowsOf("z", "m", "a"), "upsert": rowsOf("z", "m", "a"),
	} {
		t.Run("way "+string(way), func(t *testing.T) {
			t.Parallel()
			url := dbtest.URL(t)
			d, conn := dbtest.OpenURL(t, url), connect(t, url)
			c := writing(t, d, 3)
			const insert = "INSERT INTO products (sku, sku_key, name) VALUES ($1, $1, '')"
			other := begin(t, conn)
			mustExec(t, other, insert, "m")
			merged := make(chan error, 1)
			go func() {
				_, err := d.MergeBatch(t.Context(), batchOf(c, 0, rows), way)
				merged <- err
			}()
			waitForLock(t, url)

			probe := connect(t, url)
			mustExec(t, probe, "SET lock_timeout = '200ms'")
			if _, err := probe.Exec(t.Context(), insert, "a"); !lockTimedOut(err) {
				t.Errorf("a: got %v, want it locked", err)
			}
			if _, err := probe.Exec(t.Context(), insert, "z"); err != nil {
				t.Errorf("z: got %v, want it free", err)
			}
			if err := other.Rollback(t.Context()); err != nil {
				t.Fatal(err)
			}
			if err := <-merged; err != nil {
				t.Error(err)
			}
		})
	}
}

func lockTimedOut(err error) bool {
	e, ok := errors.AsType[*pgconn.PgError](err)
	return ok && e.Code == "55P03"
}

// TestOverlappingImports writes the same 5,000 SKUs from two imports at once,
// in opposite order, with two writers each.
func TestOverlappingImports(t *testing.T) {
	t.Parallel()
	url := dbtest.URL(t)
	var log safeBuffer
	d, err := db.Open(db.Options{URL: url, MaxConns: 8, Log: zerolog.New(&log)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	const total, batches = 5000, 20

	results := make(chan importer.Counts, 2)
	run := func(name string, backwards bool) {
		c := writing(t, d, total)
		var parts []importer.Batch
		for n := range batches {
			rows := make([]importer.Row, total/batches)
			for i := range rows {
				// Every part has keys from all over the catalogue.
				sku := fmt.Sprintf("SKU %05d", i*batches+n)
				rows[i] = importer.Row{SKU: sku, Key: importer.SKUKey(sku), Name: name}
			}
			slices.SortFunc(rows, func(a, b importer.Row) int { return cmp.Compare(a.Key, b.Key) })
			parts = append(parts, batchOf(c, n, rows))
		}
		if backwards {
			slices.Reverse(parts)
		}
		queue := make(chan importer.Batch, batches)
		for _, p := range parts {
			queue <- p
		}
		close(queue)
		var wg sync.WaitGroup
		for range 2 {
			wg.Go(func() {
				var way importer.MergeWay
				for b := range queue {
					m, err := d.MergeBatch(t.Context(), b, way)
					if err != nil {
						t.Errorf("%s, batch %d: %v", name, b.Number, err)
					}
					way = m.Next
				}
			})
		}
		wg.Wait()
		i, err := d.Complete(t.Context(), c.ID, c.Epoch, scanOf(total, 0, 0))
		if err != nil {
			t.Error(err)
		}
		results <- i.Counts
	}
	go run("forwards", false)
	go run("backwards", true)
	one, two := <-results, <-results

	// Each SKU is created by whoever comes first and changed by the other.
	if one.Written() != total || two.Written() != total || one.Created+two.Created != total || one.Updated+two.Updated != total {
		t.Errorf("got %+v and %+v, want %d created and %d updated in all", one, two, total, total)
	}
	if got := log.String(); strings.Contains(got, "40P01") || strings.Contains(got, "40001") {
		t.Errorf("transactions lost against each other:\n%s", got)
	}
}

// TestUnsortedRowsDeadlock shows what sorting by key prevents: two
// transactions that lock the same rows in different order.
func TestUnsortedRowsDeadlock(t *testing.T) {
	t.Parallel()
	url := dbtest.URL(t)
	one, two := begin(t, connect(t, url)), begin(t, connect(t, url))
	const put = "INSERT INTO products (sku, sku_key, name) VALUES ($1, $1, '') ON CONFLICT (sku_key) DO UPDATE SET name = excluded.name"
	mustExec(t, one, put, "a")
	mustExec(t, two, put, "b")
	first := make(chan error, 1)
	go func() {
		_, err := one.Exec(t.Context(), put, "b")
		if err != nil {
			_ = one.Rollback(t.Context())
		}
		first <- err
	}()
	waitForLock(t, url)
	_, second := two.Exec(t.Context(), put, "a")
	if second != nil {
		_ = two.Rollback(t.Context())
	}
	var deadlocks int
	for _, err := range []error{<-first, second} {
		if e, ok := errors.AsType[*pgconn.PgError](err); ok && e.Code == "40P01" {
			deadlocks++
		}
	}
	if deadlocks != 1 {
		t.Errorf("got %d deadlocks, want 1", deadlocks)
	}
}

// TestMergeTriesAgainAfterADeadlock makes one with a transaction that locks
// against the order. Postgres ends whoever has waited for a second first:
// nearly always the batch.
func TestMergeTriesAgainAfterADeadlock(t *testing.T) {
	t.Parallel()
	url := dbtest.URL(t)
	var log safeBuffer
	d, err := db.Open(db.Options{URL: url, Log: zerolog.New(&log)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	conn := connect(t, url)
	c := writing(t, d, 0)
	for try := range 10 {
		a, b := fmt.Sprintf("a%d", try), fmt.Sprintf("b%d", try)
		other := begin(t, conn)
		mustExec(t, other, "INSERT INTO products (sku, sku_key, name) VALUES ($1, $1, '')", b)
		merged := make(chan error, 1)
		go func() {
			_, err := d.MergeBatch(t.Context(), batchOf(c, try, rowsOf(a, b)), "filter")
			merged <- err
		}()
		waitForLock(t, url)
		_, err := other.Exec(t.Context(), "INSERT INTO products (sku, sku_key, name) VALUES ($1, $1, '')", a)
		if err := other.Rollback(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := <-merged; err != nil {
			t.Fatalf("got %v, want the batch written in the end", err)
		}
		if err == nil {
			break // the batch was ended, and tried again
		}
	}
	if !strings.Contains(log.String(), "40P01") {
		t.Errorf("no deadlock in the log: %s", log.String())
	}
}

// safeBuffer is a bytes.Buffer for several goroutines.
type safeBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *safeBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *safeBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}
