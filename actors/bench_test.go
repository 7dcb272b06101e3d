package actors_test

import (
	"context"
	"io"
	"os"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"github.com/google/uuid"

	"importer"
	"importer/actors"
	"importer/internal/csvfile"
	"importer/internal/sample"
)

// swallow is a memory store that forgets the rows it is given.
type swallow struct{ *memory }

func (s swallow) MergeBatch(ctx context.Context, b importer.Batch, _ importer.MergeWay) (importer.Merged, error) {
	merged := importer.Merged{Created: int64(len(b.Rows))}
	_, err := s.fenced(ctx, "MergeBatch", b.ImportID, b.Epoch, func(i *storedImport) (string, error) {
		i.ledger[b.Number] = merged
		return "", nil
	})
	return merged, err
}

// fileSpool reads one file of the disk for every import.
type fileSpool struct {
	*memorySpool
	path string
}

func (s fileSpool) Open(context.Context, uuid.UUID) (io.ReadCloser, error) { return os.Open(s.path) }

// BenchmarkPipeline runs everything but the database, from the file of
// 500,000 rows to batches that are ready to be written.
func BenchmarkPipeline(b *testing.B) {
	rows := 500_000
	if s := os.Getenv("BENCH_ROWS"); s != "" {
		rows, _ = strconv.Atoi(s)
	}
	path := b.TempDir() + "/products.csv"
	f, err := os.Create(path)
	if err != nil {
		b.Fatal(err)
	}
	if _, err := sample.Write(f, sample.Options{Rows: rows, Repeats: 0.05, Seed: 1}); err != nil {
		b.Fatal(err)
	}
	if err := f.Close(); err != nil {
		b.Fatal(err)
	}
	x := setup(b, func(x *bundle, o *actors.Options) {
		o.Store = swallow{x.store}
		o.Spool = fileSpool{x.spool, path}
		o.OpenRows = csvfile.Open
	})
	b.ReportAllocs()
	for b.Loop() {
		id := x.upload(importer.NewImport{}, "the file is read from disk")
		x.await(id, importer.Completed)
	}
	b.ReportMetric(float64(rows)*float64(b.N)/b.Elapsed().Seconds(), "rows/s")
	b.ReportMetric(peakMB(b), "MB-peak")
}

// peakMB is the most memory that this process ever held.
func peakMB(b *testing.B) float64 {
	if runtime.GOOS != "linux" {
		return 0
	}
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		b.Fatal(err)
	}
	for line := range strings.Lines(string(status)) {
		if rest, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			kb, _ := strconv.ParseFloat(strings.Fields(rest)[0], 64)
			return kb / 1024
		}
	}
	return 0
}

// BenchmarkPostgres imports 500,000 new products, from the upload's first
// byte to completed. The tests' server does not sync to disk.
func BenchmarkPostgres(b *testing.B) {
	const rows = 500_000
	text, want := catalogue(b, rows)
	for b.Loop() {
		b.StopTimer()
		m := newMachine(b)
		b.StartTimer()
		m.checkCompleted(m.upload(importer.NewImport{}, text), want)
		b.StopTimer()
		m.shutdown()
		b.StartTimer()
	}
	b.ReportMetric(rows*float64(b.N)/b.Elapsed().Seconds(), "rows/s")
}
