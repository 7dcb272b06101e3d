package main

import (
	"bufio"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"importer"
)

// How large the catalogue is, how many more are imported while it is
// searched, and how often each question is asked of it at rest.
const (
	catalogueRows = 1_000_000
	moreRows      = 500_000
	asks          = 200
)

// BenchmarkCatalogue asks a catalogue of a million products what people ask
// it, by the API of a fresh server with its private Postgres: at rest, while
// 500,000 new products are imported, and while those wait for the search
// index. Then it empties the catalogue.
func BenchmarkCatalogue(b *testing.B) {
	for b.Loop() {
		func() {
			bench := startBench(b)
			defer bench.stop()
			bench.imported(b, <-bench.importRows(b, 0, catalogueRows), catalogueRows)
			began := time.Now()
			bench.untilIndexed(b)
			took := time.Since(began)
			bench.note("%d products indexed in %.0f s, %.0f µs each", catalogueRows, took.Seconds(), float64(took.Microseconds())/catalogueRows)
			// What autovacuum would do within minutes.
			bench.exec(b, "VACUUM ANALYZE products, product_search, search_queue, product_totals")

			rest := newQuestions()
			for range asks / 10 {
				newQuestions().ask(b, bench) // warm
			}
			for range asks {
				rest.ask(b, bench)
			}
			busy, behind := newQuestions(), newQuestions()
			for done := bench.importRows(b, catalogueRows, moreRows); ; busy.ask(b, bench) {
				if err, ended := poll(done); ended {
					bench.imported(b, err, catalogueRows+moreRows)
					break
				}
			}
			began = time.Now()
			for bench.pending(b) > 0 {
				behind.ask(b, bench)
			}
			bench.note("%d more indexed %.0f s after their import, while searched", moreRows, time.Since(began).Seconds())
			fmt.Println("\nms, p50 / p95 of n" + report([]string{"at rest", "importing", "indexing"}, rest, busy, behind))

			began = time.Now()
			if n, err := bench.client.DeleteAllProducts(b.Context()); err != nil || n != catalogueRows+moreRows {
				b.Fatalf("deleted %d, %v", n, err)
			}
			bench.note("%d products deleted at once in %d ms", catalogueRows+moreRows, time.Since(began).Milliseconds())
			fmt.Println(strings.Join(bench.notes, "\n"))
		}()
	}
	b.ReportMetric(0, "ns/op") // of all together it would say nothing
}

// question is one kind of question, with new words each time.
type question struct {
	name string
	next func() importer.ProductQuery
	hits int64 // what the total must be; -1 if it depends
	got  func(importer.ProductPage)
	took []time.Duration
}

type questions []*question

func newQuestions() questions {
	random := rand.New(rand.NewPCG(7, 7))
	find := func(name, format string, numbers func() int) *question {
		return &question{name: name, hits: -1, next: func() importer.ProductQuery {
			text := format
			if numbers != nil {
				text = fmt.Sprintf(format, numbers())
			}
			return importer.ProductQuery{ProductFilter: importer.ProductFilter{Q: text}, Sort: importer.SortSKU} // as the dashboard
		}}
	}
	among := func(from, n int) func() int { return func() int { return from + random.IntN(n) } }
	list := func(name string, next func() importer.ProductQuery) *question {
		return &question{name: name, next: next, hits: -1}
	}

	cursor := list("the next page, by cursor", nil)
	var at string
	cursor.next = func() importer.ProductQuery { return importer.ProductQuery{Cursor: at} }
	cursor.got = func(p importer.ProductPage) { at = *p.Next }
	whole := list("a whole SKU", func() importer.ProductQuery {
		return importer.ProductQuery{ProductFilter: importer.ProductFilter{SKU: fmt.Sprintf("SKU-%07d", random.IntN(catalogueRows))}}
	})
	one := find("a word of one product", "serial%07d", among(0, catalogueRows))
	none := find("a word of none", "zzqq", nil)
	whole.hits, one.hits, none.hits = 1, 1, 0
	byName := find("of 5 %, by name", "kind%d", among(10, 20))
	inOrder := byName.next
	byName.next = func() importer.ProductQuery {
		q := inOrder()
		q.Sort = importer.SortName
		return q
	}
	return questions{
		list("the first page", func() importer.ProductQuery { return importer.ProductQuery{} }),
		cursor,
		list("page 1 to 40,000, by number", func() importer.ProductQuery { return importer.ProductQuery{Page: 1 + random.IntN(40_000)} }),
		list("the same, by SKU", func() importer.ProductQuery {
			return importer.ProductQuery{Sort: importer.SortSKU, Page: 1 + random.IntN(40_000)}
		}),
		whole,
		find("a word of all products", "product", nil),
		find("of half", "stock", nil),
		find("of 5 %", "kind%d", among(10, 20)),
		byName,
		find("of 1 %", "make%d", among(100, 100)),
		find("of 0.01 %", "line%d", among(10_000, 10_000)),
		one,
		none,
		list("two words", func() importer.ProductQuery {
			return importer.ProductQuery{ProductFilter: importer.ProductFilter{Q: fmt.Sprintf("make%d kind%d", 100+random.IntN(100), 10+random.IntN(20))}}
		}),
	}
}

// ask asks each question once, as somebody does who waits for each answer.
func (qs questions) ask(b *testing.B, x *bench) {
	b.Helper()
	for _, q := range qs {
		asked := q.next()
		began := time.Now()
		page, err := x.client.Products(b.Context(), asked)
		q.took = append(q.took, time.Since(began))
		if err != nil {
			b.Fatalf("%+v: %v", asked, err)
		}
		if q.hits >= 0 && page.Total != q.hits {
			b.Fatalf("%+v: got %d products, want %d", asked, page.Total, q.hits)
		}
		if q.got != nil {
			q.got(page)
		}
	}
}

// report is a table of the same questions at several times.
func report(when []string, times ...questions) string {
	var t strings.Builder
	fmt.Fprintf(&t, "\n%-30s", "")
	for _, w := range when {
		fmt.Fprintf(&t, "%24s", w)
	}
	for i, q := range times[0] {
		fmt.Fprintf(&t, "\n%-30s", q.name)
		for _, qs := range times {
			took := slices.Sorted(slices.Values(qs[i].took))
			if len(took) == 0 {
				fmt.Fprintf(&t, "%24s", "-")
				continue
			}
			ms := func(share int) float64 { return took[len(took)*share/100].Seconds() * 1e3 }
			fmt.Fprintf(&t, "%24s", fmt.Sprintf("%.1f / %.1f of %d", ms(50), ms(95), len(took)))
		}
	}
	return t.String()
}

// importRows begins to import products; the channel tells how it ended.
func (x *bench) importRows(b *testing.B, from, n int) <-chan error {
	b.Helper()
	file := filepath.Join(x.dir, fmt.Sprintf("products-%d.csv", from))
	if err := writeProducts(file, from, n); err != nil {
		b.Fatal(err)
	}
	x.settle(b)
	began := time.Now()
	done := make(chan error, 1)
	go func() {
		out, err := program(nil, "import", "--server", x.url, file).CombinedOutput()
		if err != nil {
			err = fmt.Errorf("%w\n%s", err, tail(string(out), 5))
		}
		took := time.Since(began)
		x.note("%d rows imported in %.1f s, %.0f rows/s", n, took.Seconds(), float64(n)/took.Seconds())
		done <- err
	}()
	return done
}

func poll(done <-chan error) (err error, ended bool) {
	select {
	case err = <-done:
		return err, true
	default:
		return nil, false
	}
}

// imported checks that there are as many products as there have to be.
func (x *bench) imported(b *testing.B, err error, products int64) {
	b.Helper()
	if err != nil {
		b.Fatal(err)
	}
	if i, err := x.client.Indexing(b.Context()); err != nil || i.Total != products {
		b.Fatalf("%+v, %v: want %d products", i, err, products)
	}
}

func (x *bench) pending(b *testing.B) int64 {
	b.Helper()
	i, err := x.client.Indexing(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	return i.Pending
}

func (x *bench) untilIndexed(b *testing.B) {
	b.Helper()
	for x.pending(b) > 0 {
		time.Sleep(100 * time.Millisecond)
	}
}

// note keeps a figure, with how busy the machine is.
func (x *bench) note(format string, args ...any) {
	load, _ := os.ReadFile("/proc/loadavg") // elsewhere there is none
	x.notes = append(x.notes, fmt.Sprintf(format, args...)+fmt.Sprintf(" (load %.4s)", load))
}

// writeProducts writes products numbered from, in random order, with words of
// every frequency.
func writeProducts(name string, from, n int) error {
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	defer f.Close()
	random := rand.New(rand.NewPCG(1, uint64(from)))
	w := bufio.NewWriter(f)
	fmt.Fprintln(w, "sku,name,description")
	for _, i := range random.Perm(n) {
		i += from
		state := "in stock"
		if i%2 == 0 {
			state = "on order"
		}
		fmt.Fprintf(w, "SKU-%07d,Product %c%c number %d,\"Of kind%d and make%d, line%d; serial%07d, %s, from hall %d, %d by %d\"\n",
			i, 'A'+random.IntN(26), 'a'+random.IntN(26), i,
			10+random.IntN(20), 100+random.IntN(100), 10_000+random.IntN(10_000), i, state, random.IntN(100), random.IntN(1000), random.IntN(1000))
	}
	return w.Flush()
}
