package main

import (
	"context"
	"encoding/csv"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"importer"
	"importer/internal/sample"
)

// BenchmarkImport takes the whole way: `importer import FILE` against a fresh
// `importer serve` with its private Postgres, default settings. In the same
// run, into the same Postgres and under the same indexes, it times what to
// compare with: a plain binary COPY of the distinct rows in file order, and the
// old way of doing it. Each figure is the median of the loops.
func BenchmarkImport(b *testing.B) {
	const rows = 500_000
	file := filepath.Join(b.TempDir(), "catalogue.csv")
	want, err := writeSample(file, sample.Options{Rows: rows, Repeats: 0.05, Seed: 1})
	if err != nil {
		b.Fatal(err)
	}
	products := distinct(read(b, file))
	var copied, old, first, again, peak []float64
	for b.Loop() {
		func() {
			bench := startBench(b)
			defer bench.stop()
			// Twice, before and after, and the mean: the machine drifts.
			before := bench.copyInto(b, "bench_copy_1", products)
			first = append(first, bench.importSeconds(b, file, importer.Counts{Rows: rows, Created: int64(want.Created), Duplicates: int64(want.Duplicates)}))
			again = append(again, bench.importSeconds(b, file, importer.Counts{Rows: rows, Unchanged: int64(want.Created), Duplicates: int64(want.Duplicates)}))
			copied = append(copied, (before+bench.copyInto(b, "bench_copy_2", products))/2)
			old = append(old, bench.theOldWay(b, file))
			peak = append(peak, bench.peakMiB(b))
		}()
	}
	b.ReportMetric(0, "ns/op") // of all five together it would say nothing
	b.ReportMetric(median(copied), "s/copy")
	b.ReportMetric(median(first), "s/import")
	b.ReportMetric(median(again), "s/re-import")
	b.ReportMetric(median(old), "s/old-way")
	b.ReportMetric(median(first)/median(copied), "import/copy")
	b.ReportMetric(median(old)/median(first), "old-way/import")
	b.ReportMetric(rows/median(first), "rows/s")
	b.ReportMetric(slices.Max(peak), "peak-MiB")
}

// BenchmarkMemory imports ten times as much: the peak must not grow with it.
func BenchmarkMemory(b *testing.B) {
	const rows = 5_000_000
	file := filepath.Join(b.TempDir(), "catalogue.csv")
	want, err := writeSample(file, sample.Options{Rows: rows, Repeats: 0.05, Seed: 1})
	if err != nil {
		b.Fatal(err)
	}
	var took, peak []float64
	for b.Loop() {
		func() {
			bench := startBench(b)
			defer bench.stop()
			took = append(took, bench.importSeconds(b, file, importer.Counts{Rows: rows, Created: int64(want.Created), Duplicates: int64(want.Duplicates)}))
			peak = append(peak, bench.peakMiB(b))
		}()
	}
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(median(took), "s/import")
	b.ReportMetric(rows/median(took), "rows/s")
	b.ReportMetric(slices.Max(peak), "peak-MiB")
}

// bench is a fresh server and a connection to its Postgres.
type bench struct {
	*process
	conn  *pgx.Conn
	dir   string
	notes []string // figures so far
}

func startBench(b *testing.B) *bench {
	b.Helper()
	return startBenchWith(b)
}

func (x *bench) stop() {
	_ = x.conn.Close(context.Background())
	_ = x.process.stop()
	_ = os.RemoveAll(x.dir)
}

// importSeconds runs the client as a user would and checks what it did.
func (x *bench) importSeconds(b *testing.B, file string, want importer.Counts) float64 {
	b.Helper()
	x.settle(b)
	start := time.Now()
	cmd := program(nil, "import", "--server", x.url, file)
	out, err := cmd.CombinedOutput()
	took := time.Since(start)
	if err != nil {
		b.Fatalf("%v\n%s", err, tail(string(out), 5))
	}
	list, err := x.client.Imports(b.Context(), importer.ImportPage{Limit: 1})
	if err != nil {
		b.Fatal(err)
	}
	if got := list.Items[0].Counts; got != want {
		b.Fatalf("got %+v, want %+v", got, want)
	}
	return took.Seconds()
}

// copyInto is the yardstick: what Postgres itself needs for these rows.
func (x *bench) copyInto(b *testing.B, table string, products []importer.Row) float64 {
	b.Helper()
	x.like(b, table)
	x.settle(b)
	start := time.Now()
	_, err := x.conn.CopyFrom(b.Context(), pgx.Identifier{table}, []string{"sku", "sku_key", "name", "description"},
		pgx.CopyFromSlice(len(products), func(i int) ([]any, error) {
			p := &products[i]
			return []any{p.SKU, p.Key, p.Name, p.Description}, nil
		}))
	if err != nil {
		b.Fatal(err)
	}
	return time.Since(start).Seconds()
}

// theOldWay is how the system before this one worked: it reads the file, and
// for 1,000 rows at a time, one after the other, it asks which SKUs exist and
// then upserts with one multi-row VALUES statement. The values stand in the
// text of the statement, as the Python driver put them there. The upload, which
// the import's time includes, is left out.
func (x *bench) theOldWay(b *testing.B, file string) float64 {
	b.Helper()
	x.like(b, "bench_old")
	x.settle(b)
	ctx, start := b.Context(), time.Now()
	for batch := range slices.Chunk(read(b, file), 1_000) {
		batch = distinct(batch) // two rows with one key are an error of the statement
		keys := make([]string, 0, len(batch))
		args := make([]any, 0, 4*len(batch))
		var values strings.Builder
		for i, p := range batch {
			keys = append(keys, p.Key)
			args = append(args, p.SKU, p.Key, p.Name, p.Description)
			if i > 0 {
				values.WriteByte(',')
			}
			fmt.Fprintf(&values, "($%d,$%d,$%d,$%d)", 4*i+1, 4*i+2, 4*i+3, 4*i+4)
		}
		err := pgx.BeginFunc(ctx, x.conn, func(tx pgx.Tx) error {
			rows, err := tx.Query(ctx, `SELECT sku_key FROM bench_old WHERE sku_key = ANY($1)`, pgx.QueryExecModeSimpleProtocol, keys)
			if err != nil {
				return err
			}
			if _, err := pgx.CollectRows(rows, pgx.RowTo[string]); err != nil {
				return err
			}
			_, err = tx.Exec(ctx, `INSERT INTO bench_old (sku, sku_key, name, description) VALUES `+values.String()+
				` ON CONFLICT (sku_key) DO UPDATE SET sku = excluded.sku, name = excluded.name, description = excluded.description`, append([]any{pgx.QueryExecModeSimpleProtocol}, args...)...)
			return err
		})
		if err != nil {
			b.Fatal(err)
		}
	}
	return time.Since(start).Seconds()
}

// like makes an empty table with the indexes of products.
func (x *bench) like(b *testing.B, table string) {
	b.Helper()
	if _, err := x.conn.Exec(b.Context(), `CREATE TABLE `+table+` (LIKE products INCLUDING ALL)`); err != nil {
		b.Fatal(err)
	}
}

// settle lets nothing of what was before be paid for by what comes next.
func (x *bench) settle(b *testing.B) {
	b.Helper()
	admin, err := pgx.Connect(b.Context(), "host="+filepath.Join(x.dir, "postgres", "run")+" user=postgres dbname=importer")
	if err != nil {
		b.Fatal(err)
	}
	defer admin.Close(b.Context())
	if _, err := admin.Exec(b.Context(), "CHECKPOINT"); err != nil {
		b.Fatal(err)
	}
	syscall.Sync()
}

// peakMiB is the most memory the server process ever had, Postgres not
// included (proc(5), VmHWM).
func (x *bench) peakMiB(b *testing.B) float64 {
	b.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", x.cmd.Process.Pid))
	if err != nil {
		b.Fatal(err)
	}
	for line := range strings.Lines(string(status)) {
		if rest, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			kb, err := strconv.ParseFloat(strings.Fields(rest)[0], 64)
			if err != nil {
				b.Fatal(err)
			}
			return kb / 1024
		}
	}
	b.Fatal("no VmHWM in /proc/PID/status")
	return 0
}

// read reads a sample catalogue.
func read(b *testing.B, file string) (rows []importer.Row) {
	b.Helper()
	f, err := os.Open(file)
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	r := csv.NewReader(f)
	if _, err := r.Read(); err != nil {
		b.Fatal(err)
	}
	for {
		rec, err := r.Read()
		if err == io.EOF {
			return rows
		}
		if err != nil {
			b.Fatal(err)
		}
		rows = append(rows, importer.Row{Name: rec[0], SKU: rec[1], Key: importer.SKUKey(rec[1]), Description: rec[2]})
	}
}

// distinct keeps the last row of each key, where the first one stood.
func distinct(rows []importer.Row) (kept []importer.Row) {
	at := make(map[string]int, len(rows))
	for _, row := range rows {
		if i, known := at[row.Key]; known {
			kept[i] = row
			continue
		}
		at[row.Key] = len(kept)
		kept = append(kept, row)
	}
	return kept
}

func median(v []float64) float64 {
	s := slices.Sorted(slices.Values(v))
	return s[len(s)/2]
}
