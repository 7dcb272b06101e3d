package db_test

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/rs/zerolog"

	"importer"
	"importer/db"
	"importer/db/dbtest"
)

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
	hook(t, d) // what webhooks are to hear must not order the imports in another way
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
