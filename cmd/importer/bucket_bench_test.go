package main

import (
	"path/filepath"
	"slices"
	"testing"

	"importer"
	"importer/internal/sample"
)

// BenchmarkBucket compares uploads in a bucket with those on disk, in turn and
// in the same run. The storage is in memory and checks every signature, on the
// processors that the import needs as well; there is no way to go. So this is
// what the program itself has to do more.
func BenchmarkBucket(b *testing.B) {
	const rows = 500_000
	file := filepath.Join(b.TempDir(), "catalogue.csv")
	want, err := writeSample(file, sample.Options{Rows: rows, Repeats: 0.05, Seed: 1})
	if err != nil {
		b.Fatal(err)
	}
	counts := importer.Counts{Rows: rows, Created: int64(want.Created), Duplicates: int64(want.Duplicates)}
	took, peak := map[string][]float64{}, map[string][]float64{}
	for b.Loop() {
		for name, env := range map[string][]string{"disk": nil, "bucket": objectStorage(b).Env()} {
			bench := startBenchWith(b, env...)
			took[name] = append(took[name], bench.importSeconds(b, file, counts))
			peak[name] = append(peak[name], bench.peakMiB(b))
			bench.stop()
		}
	}
	b.ReportMetric(0, "ns/op")
	for name := range took {
		b.ReportMetric(median(took[name]), "s/"+name)
		b.ReportMetric(slices.Max(peak[name]), "peak-MiB/"+name)
	}
	b.ReportMetric(median(took["bucket"])/median(took["disk"]), "bucket/disk")
}
