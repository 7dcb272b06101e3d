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

	"github.com/jackc/pgx/v5"

	"importer"
	"importer/db"
	"importer/db/dbtest"
)

// The benchmarks write a file of 500,000 rows, 475,000 of them with distinct
// SKUs, about 60 MB:
//
//	go test ./db -run '^$' -bench . -benchtime 3x
//
// They use a throw-away server that does not sync; TEST_DATABASE_URL names
// another.
const (
	benchRows     = 500_000
	benchDistinct = 475_000
	benchWindow   = 100_000
)

// BenchmarkCopy is the yardstick: what COPY needs for the same rows, in file
// order, into the same table.
func BenchmarkCopy(b *testing.B) {
	s := newBench(b)
	for b.Loop() {
		s.prepare(nil)
		_, err := s.conn.CopyFrom(b.Context(), pgx.Identifier{"products"}, []string{"sku_key", "sku", "name", "description"},
			pgx.CopyFromSlice(len(s.file), func(i int) ([]any, error) {
				r := &s.file[i]
				return []any{r.Key, r.SKU, r.Name, r.Description}, nil
			}))
		if err != nil {
			b.Fatal(err)
		}
		s.wrote()
	}
	s.report()
}

// BenchmarkSelectThenUpsert is the usual way: look up which SKUs exist, then
// upsert, 1,000 rows at a time, one after the other.
func BenchmarkSelectThenUpsert(b *testing.B) {
	for _, c := range benchCases {
		b.Run(c.name, func(b *testing.B) {
			s := newBench(b)
			for b.Loop() {
				s.prepare(c.before)
				for rows := range slices.Chunk(s.file, 1000) {
					if err := selectThenUpsert(b.Context(), s.conn, rows); err != nil {
						b.Fatal(err)
					}
				}
				s.wrote()
			}
			s.report()
		})
	}
}

func BenchmarkMerge(b *testing.B) {
	for _, writers := range []int{1, 2} {
		for _, batch := range []int{5_000, 10_000, 20_000} {
			for _, c := range benchCases {
				b.Run(fmt.Sprintf("writers=%d/batch=%d/%s", writers, batch, c.name), func(b *testing.B) {
					s := newBench(b)
					for b.Loop() {
						claim := s.prepare(c.before)
						if got := mergeAll(b, s.db, claim, s.file, writers, batch); got != c.want {
							b.Fatalf("got %+v, want %+v", got, c.want)
						}
						s.wrote()
					}
					s.report()
				})
			}
		}
	}
}

var benchCases = []struct {
	name   string
	before func(importer.Row) importer.Row // the catalogue before the import
	want   importer.Counts
}{
	{"new", nil, importer.Counts{Created: benchDistinct}},
	{"changed", func(r importer.Row) importer.Row { r.Name += " old"; return r }, importer.Counts{Updated: benchDistinct}},
	{"same", func(r importer.Row) importer.Row { return r }, importer.Counts{Unchanged: benchDistinct}},
}

type bench struct {
	b    *testing.B
	db   *db.DB
	conn *pgx.Conn
	file []importer.Row // distinct, in file order
	wal  int64
}

func newBench(b *testing.B) *bench {
	url := dbtest.URL(b)
	s := &bench{b: b, db: dbtest.OpenURL(b, url), conn: connect(b, url)}
	random := rand.New(rand.NewPCG(1, 2))
	for _, n := range random.Perm(benchDistinct) {
		sku := fmt.Sprintf("SKU-%07d", n)
		s.file = append(s.file, importer.Row{
			SKU: sku, Key: importer.SKUKey(sku), Name: fmt.Sprintf("Product number %d", n),
			Description: strings.Repeat("a description ", 1+random.IntN(8)) + fmt.Sprint(n),
		})
	}
	return s
}

// prepare brings the catalogue to what it was before the import, untimed.
func (s *bench) prepare(before func(importer.Row) importer.Row) importer.Claim {
	s.b.StopTimer()
	defer s.b.StartTimer()
	if len(s.file) == 0 {
		s.b.Fatal("no rows")
	}
	ctx := s.b.Context()
	if _, err := s.conn.Exec(ctx, "TRUNCATE products RESTART IDENTITY"); err != nil {
		s.b.Fatal(err)
	}
	if before != nil {
		// By a window in key order, as an import has left it.
		rows := make([]importer.Row, len(s.file))
		for i, r := range s.file {
			rows[i] = before(r)
		}
		mergeAll(s.b, s.db, writing(s.b, s.db, 0), rows, 2, importer.DefaultBatchRows)
	}
	if _, err := s.conn.Exec(ctx, "VACUUM ANALYZE products"); err != nil {
		s.b.Fatal(err)
	}
	// Where it is allowed: no checkpoint from before falls into the timed part.
	_, _ = s.conn.Exec(ctx, "CHECKPOINT")
	c := writing(s.b, s.db, benchDistinct)
	s.wal -= s.walBytes()
	return c
}

// wrote ends the timed part.
func (s *bench) wrote() {
	s.b.StopTimer()
	s.wal += s.walBytes()
	s.b.StartTimer() // b.Loop insists
}

func (s *bench) report() {
	n := float64(s.b.N)
	s.b.ReportMetric(benchRows*n/s.b.Elapsed().Seconds(), "rows/s")
	s.b.ReportMetric(float64(s.wal)/n/1e6, "walMB")
}

func (s *bench) walBytes() (n int64) {
	if err := s.conn.QueryRow(s.b.Context(), "SELECT (pg_current_wal_insert_lsn() - '0/0')::bigint").Scan(&n); err != nil {
		s.b.Fatal(err)
	}
	return n
}

// mergeAll writes a file as an import does: sorted in windows, cut in
// batches, which the writers take as they come.
func mergeAll(b *testing.B, d *db.DB, c importer.Claim, file []importer.Row, writers, size int) importer.Counts {
	batches := make(chan importer.Batch, writers)
	var (
		wg  sync.WaitGroup
		mu  sync.Mutex
		sum importer.Counts
	)
	for range writers {
		wg.Go(func() {
			var way importer.MergeWay
			for batch := range batches {
				m, err := d.MergeBatch(b.Context(), batch, way)
				if err != nil {
					b.Error(err)
				}
				way = m.Next
				mu.Lock()
				sum.Created += m.Created
				sum.Updated += m.Updated
				sum.Unchanged += m.Unchanged
				mu.Unlock()
			}
		})
	}
	number := 0
	for window := range slices.Chunk(file, benchWindow) {
		window = slices.Clone(window)
		slices.SortFunc(window, func(a, b importer.Row) int { return cmp.Compare(a.Key, b.Key) })
		for rows := range slices.Chunk(window, size) {
			batches <- importer.Batch{ImportID: c.ID, Epoch: c.Epoch, Number: number, Rows: rows, HasDescription: true}
			number++
		}
	}
	close(batches)
	wg.Wait()
	return sum
}

func selectThenUpsert(ctx context.Context, conn *pgx.Conn, rows []importer.Row) error {
	keys := make([]string, len(rows))
	var sql strings.Builder
	sql.WriteString("INSERT INTO products (sku_key, sku, name, description) VALUES ")
	var args []any
	for i, r := range rows {
		keys[i] = r.Key
		if i > 0 {
			sql.WriteByte(',')
		}
		n := 4 * i
		fmt.Fprintf(&sql, "($%d,$%d,$%d,$%d)", n+1, n+2, n+3, n+4)
		args = append(args, r.Key, r.SKU, r.Name, r.Description)
	}
	sql.WriteString(` ON CONFLICT (sku_key) DO UPDATE SET sku = excluded.sku, name = excluded.name,
		description = excluded.description, version = products.version + 1, updated_at = now()`)
	existing, err := conn.Query(ctx, "SELECT sku_key FROM products WHERE sku_key = ANY ($1)", keys)
	if err != nil {
		return err
	}
	if _, err := pgx.CollectRows(existing, pgx.RowTo[string]); err != nil {
		return err
	}
	_, err = conn.Exec(ctx, sql.String(), args...)
	return err
}
