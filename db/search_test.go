package db_test

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"importer"
	"importer/db/dbtest"
)

// TestListsWhileManyWait has more products waiting for the index than are
// looked up one by one, some of them of another version there.
func TestListsWhileManyWait(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	url := dbtest.URL(t)
	d, conn := dbtest.OpenURL(t, url), connect(t, url)
	c := writing(t, d, 0)
	rows := make([]importer.Row, 34_000)
	for i := range rows {
		sku := fmt.Sprintf("SKU %05d", i)
		rows[i] = importer.Row{SKU: sku, Key: importer.SKUKey(sku), Name: fmt.Sprintf("Thing %d", (i*7919)%34_000), Description: fmt.Sprintf("kind%d", i%7)}
	}
	merge(t, d, c, 0, rows[:1000])
	if left, err := d.IndexProducts(ctx, 5000); err != nil || left != 0 {
		t.Fatalf("got %d left, %v", left, err)
	}
	for i := range 500 {
		rows[i].Name = "Other " + rows[i].Name
	}
	merge(t, d, c, 1, rows)
	if i, err := d.Indexing(ctx); err != nil || i.Total != 34_000 || i.Pending < 33_500 || i.Indexed != i.Total-i.Pending {
		t.Errorf("indexing: got %+v, %v", i, err)
	}
	// One whose last words are new, that nothing else has.
	last := create(t, d, "needle")
	model := products(t, conn)

	check := func(when string) {
		t.Helper()
		for _, f := range []importer.ProductFilter{{}, {Q: "thing"}, {Q: "other KIND3"}, {Q: "thing 77"}, {Name: "ther"}, {SKU: "needle"}, {Q: "nowhere"}, {Description: "kind5", Name: "9"}} {
			for _, sort := range []importer.ProductSort{importer.SortID, importer.SortSKU, importer.SortName, importer.SortUpdated} {
				q := importer.ProductQuery{ProductFilter: f, Sort: sort, Desc: sort == importer.SortName, Limit: 20}
				want := model.selected(q)
				total := int64(len(want))
				floor := !f.Empty() && total > 2_500
				if floor {
					total = 2_500
				}
				page := list(t, d, q)
				if page.Total != total || page.TotalIsFloor != floor {
					t.Errorf("%s, %+v: got a total of %d (floor %v), want %d (%v)", when, q, page.Total, page.TotalIsFloor, total, floor)
				}
				if diff := gocmp.Diff(append([]importer.Product{}, want[:min(20, len(want))]...), page.Items); diff != "" {
					t.Errorf("%s, %+v (-want +got):\n%s", when, q, diff)
				}
				// One far page, of a common word or of all.
				if q.Page = 300; len(want) > 6000 {
					if diff := gocmp.Diff(want[5980:6000], list(t, d, q).Items); diff != "" {
						t.Errorf("%s, %+v (-want +got):\n%s", when, q, diff)
					}
				}
			}
		}
	}
	check("all wait")
	if err := d.DeleteProduct(ctx, last.ID, 0); err != nil {
		t.Fatal(err)
	}
	delete(model, last.ID)
	for left := int64(1); left > 0; {
		var err error
		if left, err = d.IndexProducts(ctx, 10_000); err != nil {
			t.Fatal(err)
		}
	}
	check("all indexed")
	if ok, err := d.SearchIndexed(ctx); err != nil || !ok {
		t.Errorf("search indexed: got %v, %v, want the test server to have it", ok, err)
	}

	// A database without the extension.
	mustExec(t, conn, "DROP EXTENSION pg_trgm CASCADE")
	if ok, err := d.SearchIndexed(ctx); err != nil || ok {
		t.Errorf("without the extension: got %v, %v", ok, err)
	}
	check("without the extension")
	create(t, d, "after all")
	if _, err := d.IndexProducts(ctx, 10); err != nil {
		t.Errorf("index without the extension: %v", err)
	}
}

// TestSearchMissesNothingMeanwhile changes products that keep their words, adds
// others and indexes all, while somebody searches: each answer is complete.
func TestSearchMissesNothingMeanwhile(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	url := dbtest.URL(t)
	d, other := dbtest.OpenURL(t, url), dbtest.OpenURL(t, url)
	const all = 300
	c := writing(t, d, 0)
	batch := func(n int) importer.Batch {
		var rows []importer.Row
		for i := range all {
			sku := fmt.Sprintf("sku %03d", i)
			rows = append(rows, importer.Row{SKU: sku, Key: sku, Name: fmt.Sprintf("Steady%d of round %d", i%7, n), Description: fmt.Sprintf("Needle%03d", i)})
		}
		for i := range 50 {
			sku := fmt.Sprintf("tail %02d %02d", n, i)
			rows = append(rows, importer.Row{SKU: sku, Key: sku, Name: "More"})
		}
		b := batchOf(c, n, rows)
		if b.HasDescription = n%3 != 1; !b.HasDescription {
			for i := range rows {
				rows[i].Description = ""
			}
		}
		return b
	}
	if _, err := d.MergeBatch(ctx, batch(0), ""); err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	done := make(chan struct{})
	wg.Go(func() {
		defer close(done)
		for n := 1; n <= 30; n++ {
			if _, err := d.MergeBatch(ctx, batch(n), ""); err != nil {
				t.Error(err)
			}
		}
	})
	wg.Go(func() {
		for ended := false; !ended; {
			select {
			case <-done:
				ended = true
			default:
			}
			if _, err := other.IndexProducts(ctx, 97); err != nil {
				t.Error(err)
			}
		}
	})
	sorts := []importer.ProductSort{importer.SortID, importer.SortSKU, importer.SortName, importer.SortUpdated}
	for n, ended := 0, false; !ended || n < 40; n++ {
		select {
		case <-done:
			ended = true
		default:
		}
		q := importer.ProductQuery{ProductFilter: importer.ProductFilter{Q: "steady"}, Sort: sorts[n%4], Limit: 200}
		first := list(t, d, q)
		if first.Next == nil || first.Total != all {
			t.Fatalf("search %d by %s: got %d products, want %d", n, q.Sort, first.Total, all)
		}
		q.Q = fmt.Sprintf("needle%03d", n%all)
		if page := list(t, d, q); page.Total != 1 || page.Items[0].SKU != fmt.Sprintf("sku %03d", n%all) {
			t.Fatalf("%s by %s: got %+v, want its product", q.Q, q.Sort, page.Items)
		}
	}
	wg.Wait()
}

// TestWaitingProductsOfAnySize looks for the last word of short and very long
// texts, which wait for the index in different ways.
func TestWaitingProductsOfAnySize(t *testing.T) {
	t.Parallel()
	url := dbtest.URL(t)
	d, conn := dbtest.OpenURL(t, url), connect(t, url)
	var rows []importer.Row
	for i, size := range []int{0, 10, 3000, 3000, 3000, 7000, 60_000, 66_000, 200_000, 1_000_000, 20, 0} {
		sku := fmt.Sprintf("sku %02d", i)
		rows = append(rows, importer.Row{SKU: sku, Key: sku, Name: "n", Description: strings.Repeat("Ä", size/2) + fmt.Sprintf(" Word%02d", i)})
	}
	merge(t, d, writing(t, d, 0), 0, rows)
	check := func(when string) {
		t.Helper()
		for i := range rows {
			page := list(t, d, importer.ProductQuery{ProductFilter: importer.ProductFilter{Q: fmt.Sprintf("wORD%02d", i)}})
			if page.Total != 1 || page.Items[0].SKU != rows[i].SKU {
				t.Errorf("%s, word %d: got %d products, want its own", when, i, page.Total)
			}
		}
	}
	check("waiting")
	// Text that is not repeated in the queue is looked up where it is.
	var lookedUp, kept int
	if err := conn.QueryRow(t.Context(), "SELECT count(*) FILTER (WHERE documents IS NULL), max(octet_length(documents)) FROM search_queue").Scan(&lookedUp, &kept); err != nil || lookedUp != 3 || kept > 64<<10 {
		t.Errorf("got %d rows without documents, and one of %d bytes, %v", lookedUp, kept, err)
	}
	if left, err := d.IndexProducts(t.Context(), 100); err != nil || left != 0 {
		t.Fatalf("got %d left, %v", left, err)
	}
	check("indexed")
}

func TestCursorsFitTheirListOnly(t *testing.T) {
	t.Parallel()
	d := dbtest.Open(t)
	for _, sku := range []string{"a", "b", "c"} {
		create(t, d, sku)
	}
	q := importer.ProductQuery{ProductFilter: importer.ProductFilter{Q: "name"}, Sort: importer.SortName, Limit: 1}
	page := list(t, d, q)
	if page.Next == nil {
		t.Fatal("got no next page")
	}
	good := *page.Next
	other := func(change func(*importer.ProductQuery)) importer.ProductQuery {
		o := q
		o.Cursor = good
		change(&o)
		return o
	}
	wrong := map[string]importer.ProductQuery{
		"another word":   other(func(q *importer.ProductQuery) { q.Q = "nam" }),
		"another filter": other(func(q *importer.ProductQuery) { q.Active = new(true) }),
		"another order":  other(func(q *importer.ProductQuery) { q.Desc = true }),
		"another sort":   other(func(q *importer.ProductQuery) { q.Sort = importer.SortID }),
		"with a page":    other(func(q *importer.ProductQuery) { q.Page = 2 }),
		"no cursor":      other(func(q *importer.ProductQuery) { q.Cursor = "25" }),
		"not base64":     other(func(q *importer.ProductQuery) { q.Cursor = "!" }),
		"unknown sort":   {Sort: "price"},
		"page":           {Page: -1},
		"NUL":            {ProductFilter: importer.ProductFilter{Name: "a\x00"}},
		"not UTF-8":      {ProductFilter: importer.ProductFilter{SKU: "\xff"}},
		"too long":       {ProductFilter: importer.ProductFilter{Q: strings.Repeat("x", 1001)}},
	}
	for i := range good {
		forged := []byte(good)
		forged[i] = "AB"[min(1, 'B'-min('B', forged[i]))]
		if string(forged) != good {
			wrong[fmt.Sprint("forged at ", i)] = other(func(q *importer.ProductQuery) { q.Cursor = string(forged) })
		}
	}
	for name, q := range wrong {
		if _, err := d.Products(t.Context(), q); importer.ErrorCode(err) != importer.Malformed {
			t.Errorf("%s: got %v, want %v", name, err, importer.Malformed)
		}
	}
	// The limit is not part of the question.
	more := list(t, d, other(func(q *importer.ProductQuery) { q.Limit = 10 }))
	var skus []string
	for _, p := range more.Items {
		skus = append(skus, p.SKU)
	}
	if !slices.Equal(skus, []string{"b", "c"}) {
		t.Errorf("got %v, want the rest", skus)
	}
}
