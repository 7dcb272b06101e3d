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
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(median(took), "s/export")
	b.ReportMetric(float64(want.Created)/median(took), "rows/s")
	b.ReportMetric(float64(bytes)/(1<<20), "MiB")
	b.ReportMetric(slices.Max(extra), "extra-MiB")
}

type countingWriter struct{ n int64 }

func (c *countingWriter) Write(p []byte) (int, error) {
	c.n += int64(len(p))
	return len(p), nil
}
