package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"importer"
	"importer/internal/sample"
)

// BenchmarkExport downloads a catalogue of 500,000 rows and reports how much
// memory the server takes for it, above what it had before.
func BenchmarkExport(b *testing.B) {
	const rows = 500_000
	file := filepath.Join(b.TempDir(), "catalogue.csv")
	want, err := writeSample(file, sample.Options{Rows: rows, Repeats: 0.05, Seed: 1})
	if err != nil {
		b.Fatal(err)
	}
	bench := startBench(b)
	defer bench.stop()
	bench.importSeconds(b, file, importer.Counts{Rows: rows, Created: int64(want.Created), Duplicates: int64(want.Duplicates)})
	var took, extra []float64
	var bytes int64
	for b.Loop() {
		// proc(5): 5 sets the peak to what there is now.
		if err := os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", bench.cmd.Process.Pid), []byte("5"), 0); err != nil {
			b.Fatal(err)
		}
		idle := bench.peakMiB(b)
		counted := &countingWriter{}
		start := time.Now()
		if err := bench.client.ExportProducts(b.Context(), counted, false); err != nil {
			b.Fatal(err)
		}
		took = append(took, time.Since(start).Seconds())
		extra = append(extra, bench.peakMiB(b)-idle)
		bytes = counted.n
	}
	start := time.Now()
	if n, err := bench.client.DeleteAllProducts(b.Context()); err != nil || n != int64(want.Created) {
		b.Fatalf("deleted %d, %v", n, err)
	}
	b.ReportMetric(float64(time.Since(start).Microseconds())/1e3, "ms/delete-all")
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(median(took), "s/export")
	b.ReportMetric(float64(want.Created)/median(took), "rows/s")
	b.ReportMetric(float64(bytes)/(1<<20), "MiB")
	b.ReportMetric(slices.Max(extra), "extra-MiB")
}

// BenchmarkImportForSearch imports 500,000 new rows with and without what an
// import writes for the search index: a trigger throws it away.
func BenchmarkImportForSearch(b *testing.B) {
	const rows = 500_000
	file := filepath.Join(b.TempDir(), "catalogue.csv")
	want, err := writeSample(file, sample.Options{Rows: rows, Repeats: 0.05, Seed: 1})
	if err != nil {
		b.Fatal(err)
	}
	counts := importer.Counts{Rows: rows, Created: int64(want.Created), Duplicates: int64(want.Duplicates)}
	var with, without []float64
	for b.Loop() {
		func() {
			bench := startBench(b)
			defer bench.stop()
			run := func(took *[]float64, sql string) {
				bench.exec(b, sql)
				*took = append(*took, bench.importSeconds(b, file, counts))
				if _, err := bench.client.DeleteAllProducts(b.Context()); err != nil {
					b.Fatal(err)
				}
			}
			bench.exec(b, `CREATE FUNCTION nothing() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
				CREATE TRIGGER nothing BEFORE INSERT ON search_queue FOR EACH ROW EXECUTE FUNCTION nothing()`)
			const on, off = "ALTER TABLE search_queue DISABLE TRIGGER nothing", "ALTER TABLE search_queue ENABLE TRIGGER nothing"
			run(new([]float64), on) // the first one makes files
			for range 3 {
				run(&with, on)
				run(&without, off)
			}
		}()
	}
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(median(with), "s/import")
	b.ReportMetric(median(without), "s/without-search")
	b.ReportMetric(median(with)/median(without), "with/without")
}

func (x *bench) exec(b *testing.B, sql string) {
	b.Helper()
	if _, err := x.conn.Exec(b.Context(), sql); err != nil {
		b.Fatal(err)
	}
}

type countingWriter struct{ n int64 }

func (c *countingWriter) Write(p []byte) (int, error) {
	c.n += int64(len(p))
	return len(p), nil
}
