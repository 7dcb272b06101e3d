package db_test

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/rs/zerolog"

	"importer"
	"importer/db"
	"importer/db/dbtest"
)

// TestDeleteAllWhileAnImportWrites is refused, and names the import.
func TestDeleteAllWhileAnImportWrites(t *testing.T) {
	t.Parallel()
	url := dbtest.URL(t)
	d, conn := dbtest.OpenURL(t, url), connect(t, url)
	c := writing(t, d, 3)
	merge(t, d, c, 0, rowsOf("a", "b", "c"))
	_, err := d.DeleteAllProducts(t.Context())
	if importer.ErrorCode(err) != importer.Conflict || !strings.Contains(err.Error(), `"products.csv"`) {
		t.Errorf("got %v, want a conflict that names the file", err)
	}
	if got := catalogue(t, conn); len(got) != 3 {
		t.Errorf("got %d products, want them untouched", len(got))
	}
	if _, err := d.Complete(t.Context(), c.ID, c.Epoch, scanOf(3, 0, 0)); err != nil {
		t.Fatal(err)
	}
	before := len(productEvents(t, d, conn))
	for _, want := range []int64{3, 0} {
		if n, err := d.DeleteAllProducts(t.Context()); err != nil || n != want {
			t.Errorf("got %d, %v, want %d deleted", n, err, want)
		}
	}
	told := productEvents(t, d, conn)[before:]
	if len(told) != 1 || told[0].Kind != importer.EventProductsDeletedAll || told[0].Data != `{"deleted":3}` {
		t.Errorf("got %v, want one event of 3 products", told)
	}
	if i, err := d.Indexing(t.Context()); err != nil || i != (importer.Indexing{}) {
		t.Errorf("indexing: got %+v, %v, want nothing", i, err)
	}
	// What a writer that has copied so far does next.
	c = writing(t, d, 0)
	if m := merge(t, d, c, 0, rowsOf("a", "b")); m.Created != 2 || m.Next != "copy" {
		t.Errorf("after: got %+v, want 2 created, then copy", m)
	}
}

// TestImportStartsWhileAllIsDeleted stops the deletion at a row somebody else
// has locked, and starts to write meanwhile.
func TestImportStartsWhileAllIsDeleted(t *testing.T) {
	t.Parallel()
	url := dbtest.URL(t)
	d, conn := dbtest.OpenURL(t, url), connect(t, url)
	p := create(t, d, "a")
	create(t, d, "b")
	c := created(t, d)
	advance(t, d, c, importer.Scanning, 0)
	other := begin(t, conn)
	mustExec(t, other, "SELECT FROM products WHERE id = $1 FOR UPDATE", p.ID)

	deleted := make(chan int64, 1)
	go func() {
		n, err := d.DeleteAllProducts(context.Background())
		if err != nil {
			t.Error(err)
		}
		deleted <- n
	}()
	waitForLock(t, url)
	started := make(chan error, 1)
	go func() {
		_, err := d.StartWrite(context.Background(), c.ID, c.Epoch, scanOf(2, 0, 0))
		started <- err
	}()
	waitForLocks(t, url, 2)
	select {
	case err := <-started:
		t.Fatalf("the import writes (%v) before the deletion is decided", err)
	default:
	}
	if err := other.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := <-deleted; n != 2 {
		t.Errorf("got %d deleted, want 2", n)
	}
	if err := <-started; err != nil {
		t.Fatal(err)
	}
	if m := merge(t, d, c, 0, rowsOf("a", "c")); m.Created != 2 || m.Updated != 0 {
		t.Errorf("got %+v, want 2 created in the empty catalogue", m)
	}
}

// TestDeleteAllWaitsForAnImportThatStarts has an import between its step to
// writing and the commit of it.
func TestDeleteAllWaitsForAnImportThatStarts(t *testing.T) {
	t.Parallel()
	url := dbtest.URL(t)
	d, conn := dbtest.OpenURL(t, url), connect(t, url)
	create(t, d, "a")
	c := created(t, d)
	advance(t, d, c, importer.Scanning, 0)
	// The step's last lock is that of the list's topic: hold it there.
	other := begin(t, conn)
	mustExec(t, other, "SELECT FROM stream_head WHERE topic = 'imports' FOR UPDATE")
	started := make(chan error, 1)
	go func() {
		_, err := d.StartWrite(context.Background(), c.ID, c.Epoch, scanOf(1, 0, 0))
		started <- err
	}()
	waitForLock(t, url)
	deleted := make(chan error, 1)
	go func() {
		_, err := d.DeleteAllProducts(context.Background())
		deleted <- err
	}()
	waitForLocks(t, url, 2)
	if err := other.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := <-started; err != nil {
		t.Fatal(err)
	}
	if err := <-deleted; importer.ErrorCode(err) != importer.Conflict {
		t.Errorf("got %v, want %v", err, importer.Conflict)
	}
}

// TestDeleteAllGivesUp behind somebody who holds on to a product.
func TestDeleteAllGivesUp(t *testing.T) {
	t.Parallel()
	url := dbtest.URL(t)
	d, conn := dbtest.OpenURL(t, url), connect(t, url)
	p := create(t, d, "a")
	other := begin(t, conn)
	mustExec(t, other, "SELECT FROM products WHERE id = $1 FOR UPDATE", p.ID)
	if _, err := d.DeleteAllProducts(t.Context()); importer.ErrorCode(err) != importer.Conflict {
		t.Errorf("got %v, want %v", err, importer.Conflict)
	}
	if got := list(t, d, importer.ProductQuery{}); got.Total != 1 {
		t.Errorf("got a total of %d, want 1", got.Total)
	}
}

// TestRenameAgainstTheOrderOfAnImport renames z to a, while a batch has
// written a and comes to z. The edit gives way; nobody is ended by Postgres.
func TestRenameAgainstTheOrderOfAnImport(t *testing.T) {
	t.Parallel()
	url := dbtest.URL(t)
	var log safeBuffer
	d, err := db.Open(db.Options{URL: url, Log: zerolog.New(&log)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	z := create(t, d, "z")
	conn := connect(t, url)
	batch := begin(t, conn)
	mustExec(t, batch, "INSERT INTO products (sku, sku_key, name) VALUES ('a', 'a', 'by the batch')")
	renamed := make(chan error, 1)
	go func() {
		_, err := d.UpdateProduct(context.Background(), z.ID, 0, importer.ProductFields{SKU: new("a")})
		renamed <- err
	}()
	waitForLock(t, url)
	mustExec(t, batch, "UPDATE products SET name = 'by the batch' WHERE sku_key = 'z'")
	if err := batch.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := <-renamed; importer.ErrorCode(err) != importer.Conflict {
		t.Errorf("the edit: got %v, want %v", err, importer.Conflict)
	}
	if strings.Contains(log.String(), "40P01") {
		t.Errorf("a deadlock:\n%s", log.String())
	}
}

// TestTotalsAreExact runs imports, edits, deletions, searches and the indexer
// at once, from two machines, and looks at what is left.
func TestTotalsAreExact(t *testing.T) {
	t.Parallel()
	url := dbtest.URL(t)
	conn := connect(t, url)
	machines := []*db.DB{dbtest.OpenURL(t, url), dbtest.OpenURL(t, url)}
	ctx := t.Context()
	var wg, indexers sync.WaitGroup
	indexing, stop := context.WithCancel(ctx)
	for n, d := range machines {
		wg.Go(func() { // imports that overlap, in opposite order
			c := writing(t, d, 0)
			for batch := range 10 {
				var rows []importer.Row
				for i := range 100 {
					sku := fmt.Sprintf("sku %03d", (batch*60+i)%700)
					rows = append(rows, importer.Row{SKU: sku, Key: sku, Name: fmt.Sprintf("import %d batch %d", n, batch)})
				}
				if n == 1 {
					slices.Reverse(rows)
				}
				slices.SortFunc(rows, func(a, b importer.Row) int { return cmp.Compare(a.Key, b.Key) })
				if _, err := d.MergeBatch(ctx, batchOf(c, batch, rows), ""); err != nil {
					t.Error(err)
				}
			}
			if _, err := d.CancelImport(ctx, c.ID); err != nil {
				t.Error(err)
			}
		})
		wg.Go(func() {
			random := rand.New(rand.NewPCG(1, uint64(n)))
			for i := range 150 {
				page, err := d.Products(ctx, importer.ProductQuery{ProductFilter: importer.ProductFilter{Q: "import"}, Sort: importer.SortName, Limit: 50})
				if err != nil {
					t.Error(err)
				}
				for _, p := range page.Items {
					if !strings.Contains(p.Name, "import") {
						t.Errorf("got %+v, want names with import", p)
					}
				}
				if len(page.Items) > 0 {
					p := page.Items[random.IntN(len(page.Items))]
					switch i % 3 {
					case 0:
						err = d.DeleteProduct(ctx, p.ID, 0)
					default:
						_, err = d.UpdateProduct(ctx, p.ID, p.Version, importer.ProductFields{Name: new(fmt.Sprint("edit ", i)), Active: new(i%2 == 0)})
					}
				} else {
					_, err = d.CreateProduct(ctx, fields(fmt.Sprint("sku ", random.IntN(800))))
				}
				if code := importer.ErrorCode(err); err != nil && code != importer.Conflict && code != importer.Precondition && code != importer.NotFound {
					t.Error(err)
				}
			}
		})
		indexers.Go(func() {
			for indexing.Err() == nil {
				if _, err := d.IndexProducts(ctx, 37); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	stop()
	indexers.Wait()

	model := products(t, conn)
	d := machines[0]
	check := func(when string) {
		t.Helper()
		for _, q := range []importer.ProductQuery{{}, {ProductFilter: importer.ProductFilter{Q: "edit"}}, {ProductFilter: importer.ProductFilter{Name: "import"}, Sort: importer.SortName}} {
			q.Limit = 200
			want := model.selected(q)
			page := list(t, d, q)
			if page.Total != int64(len(want)) {
				t.Errorf("%s, %+v: got a total of %d, want %d", when, q, page.Total, len(want))
			}
			if diff := gocmp.Diff(want[:min(200, len(want))], page.Items); diff != "" {
				t.Errorf("%s, %+v (-want +got):\n%s", when, q, diff)
			}
		}
	}
	check("before the rest is indexed")
	for left := int64(1); left > 0; {
		var err error
		if left, err = d.IndexProducts(ctx, 1000); err != nil {
			t.Fatal(err)
		}
	}
	check("after")
	var indexed int
	if err := conn.QueryRow(ctx, "SELECT count(*) FROM product_search AS s JOIN products AS p USING (id, version)").Scan(&indexed); err != nil || indexed != len(model) {
		t.Errorf("got %d products in the index, %v, want %d", indexed, err, len(model))
	}
	if err := conn.QueryRow(ctx, "SELECT count(*) FROM product_search").Scan(&indexed); err != nil || indexed != len(model) {
		t.Errorf("got %d rows in the index, %v, want %d", indexed, err, len(model))
	}
}
