package db_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"importer"
	"importer/db"
	"importer/db/dbtest"
)

// BenchmarkProducts lists and searches a catalogue of a million products, all
// indexed; then the same while an import of 500,000 new ones runs, and after
// it, while they wait for the index:
//
//	TEST_DATABASE_URL=… go test ./db -run '^$' -bench Products -benchtime 200x -timeout 1h
//
// A throw-away server keeps little in memory and is no measure.
func BenchmarkProducts(b *testing.B) {
	const catalogue, more = 1_000_000, 500_000
	url := dbtest.URL(b)
	d, conn := dbtest.OpenURL(b, url), connect(b, url)
	mergeAll(b, d, writing(b, d, 0), productRows(0, catalogue), 2, importer.DefaultBatchRows)
	began := time.Now()
	indexAll(b, d)
	b.Logf("indexed %d products in %v", catalogue, time.Since(began).Round(time.Second))
	mustExec(b, conn, "VACUUM ANALYZE products, product_search, search_queue, product_totals")

	b.Run("idle", func(b *testing.B) { questions(b, d, nil) })

	rows := productRows(catalogue, catalogue+more)
	b.Run("import", func(b *testing.B) {
		ctx, stop := context.WithCancel(b.Context())
		defer stop()
		merged := make(chan struct{})
		c := writing(b, d, 0)
		go func() {
			defer close(merged)
			for n, from := 0, 0; ctx.Err() == nil && from < len(rows); n, from = n+1, from+importer.DefaultBatchRows {
				part := slices.Clone(rows[from : from+importer.DefaultBatchRows])
				if _, err := d.MergeBatch(b.Context(), batchOf(c, n, part), "copy"); err != nil {
					b.Error(err)
				}
			}
		}()
		questions(b, d, merged)
		<-merged
	})
	b.Run("waiting", func(b *testing.B) { questions(b, d, nil) })
}

// questions asks each kind of question b.N times, or until done is closed.
func questions(b *testing.B, d *db.DB, done <-chan struct{}) {
	random := rand.New(rand.NewPCG(7, 7))
	q := func(text string) importer.ProductQuery {
		return importer.ProductQuery{ProductFilter: importer.ProductFilter{Q: text}}
	}
	kinds := []struct {
		name string
		ask  func() importer.ProductQuery
	}{
		{"first", func() importer.ProductQuery { return importer.ProductQuery{} }},
		{"newest", func() importer.ProductQuery { return importer.ProductQuery{Sort: importer.SortUpdated, Desc: true} }},
		{"byname", func() importer.ProductQuery { return importer.ProductQuery{Sort: importer.SortName} }},
		{"page", func() importer.ProductQuery { return importer.ProductQuery{Page: 1 + random.IntN(40_000)} }},
		{"skupage", func() importer.ProductQuery {
			return importer.ProductQuery{Sort: importer.SortSKU, Page: 1 + random.IntN(40_000)}
		}},
		{"sku", func() importer.ProductQuery {
			return importer.ProductQuery{ProductFilter: importer.ProductFilter{SKU: fmt.Sprintf("SKU-%07d", random.IntN(1_000_000))}}
		}},
		{"all", func() importer.ProductQuery { return q("product") }},
		{"half", func() importer.ProductQuery { return q("stock") }},
		{"5pc", func() importer.ProductQuery { return q("kind" + fmt.Sprint(random.IntN(20))) }},
		{"5pcname", func() importer.ProductQuery {
			p := q("kind" + fmt.Sprint(random.IntN(20)))
			p.Sort = importer.SortName
			return p
		}},
		{"1pc", func() importer.ProductQuery { return q("make" + fmt.Sprint(100+random.IntN(100))) }},
		{"100", func() importer.ProductQuery { return q("line" + fmt.Sprint(10_000+random.IntN(10_000))) }},
		{"two", func() importer.ProductQuery {
			return q(fmt.Sprintf("kind%d make%d", random.IntN(20), 100+random.IntN(100)))
		}},
		{"one", func() importer.ProductQuery { return q(fmt.Sprint("number ", 100_000+random.IntN(900_000))) }},
		{"none", func() importer.ProductQuery { return q("zzqq") }},
	}
	for _, k := range kinds {
		b.Run(k.name, func(b *testing.B) {
			var took []time.Duration
			for b.Loop() {
				began := time.Now()
				if _, err := d.Products(b.Context(), k.ask()); err != nil {
					b.Fatal(err)
				}
				took = append(took, time.Since(began))
			}
			slices.Sort(took)
			b.ReportMetric(took[len(took)/2].Seconds()*1e3, "p50-ms")
			b.ReportMetric(took[len(took)*95/100].Seconds()*1e3, "p95-ms")
		})
	}
}

// indexAll works through the queue.
func indexAll(b *testing.B, d *db.DB) {
	for {
		left, err := d.IndexProducts(b.Context(), 5000)
		if err != nil {
			b.Fatal(err)
		}
		if left == 0 {
			return
		}
	}
}

// productRows makes rows in random order with words of every frequency.
func productRows(from, to int) []importer.Row {
	random := rand.New(rand.NewPCG(1, uint64(from)))
	rows := make([]importer.Row, to-from)
	for i, n := range random.Perm(to - from) {
		n += from
		sku := fmt.Sprintf("SKU-%07d", n)
		stock := "in stock"
		if n%2 == 0 {
			stock = "on order"
		}
		rows[i] = importer.Row{
			SKU: sku, Key: importer.SKUKey(sku),
			Name: fmt.Sprintf("Product %c%c number %d", 'A'+random.IntN(26), 'a'+random.IntN(26), n),
			Description: fmt.Sprintf("Of kind%d and make%d, line%d; %s, ships from hall %d in a box of %d by %d",
				random.IntN(20), 100+random.IntN(100), 10_000+random.IntN(10_000), stock, random.IntN(100), random.IntN(1000), random.IntN(1000)),
		}
	}
	return rows
}

// BenchmarkIndexing is the background work for 50,000 new products.
func BenchmarkIndexing(b *testing.B) {
	const n = 50_000
	d := dbtest.Open(b)
	c := writing(b, d, 0)
	for i := 0; b.Loop(); i++ {
		b.StopTimer()
		rows := productRows(i*n, (i+1)*n)
		for part := range slices.Chunk(rows, importer.DefaultBatchRows) {
			merge(b, d, c, i*n+len(part), part)
			rows = rows[len(part):]
			c = writing(b, d, 0)
		}
		b.StartTimer()
		indexAll(b, d)
	}
	b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(n*b.N), "µs/product")
}
