package actors_test

import (
	"bytes"
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/rs/zerolog"

	"importer"
	"importer/actors"
	"importer/db"
	"importer/db/dbtest"
	"importer/internal/csvfile"
	"importer/internal/sample"
	"importer/internal/spool"
)

// machine is a System on a real database, a real spool and the real reader.
type machine struct {
	t      testing.TB
	url    string
	dir    string
	store  *db.DB
	files  *spool.Dir
	system *actors.System
	node   uuid.UUID
}

func newMachine(t testing.TB) *machine {
	t.Helper()
	return startMachine(t, dbtest.URL(t), t.TempDir(), nil)
}

// disturbed lets a test stand between the pipeline and the database.
type disturbed struct {
	*db.DB
	beforeMerge func(ctx context.Context, b importer.Batch) error
	afterMerge  func(b importer.Batch) error
	frozen      atomic.Bool // as a machine that was unplugged
}

func (d *disturbed) MergeBatch(ctx context.Context, b importer.Batch, way importer.MergeWay) (importer.Merged, error) {
	if d.beforeMerge != nil {
		if err := d.beforeMerge(ctx, b); err != nil {
			return importer.Merged{}, err
		}
	}
	merged, err := d.DB.MergeBatch(ctx, b, way)
	if err == nil && d.afterMerge != nil {
		err = d.afterMerge(b)
	}
	return merged, err
}

func (d *disturbed) freeze(ctx context.Context) error {
	if d.frozen.Load() {
		<-ctx.Done()
		return ctx.Err()
	}
	return nil
}

func (d *disturbed) Renew(ctx context.Context, id uuid.UUID, epoch int64, p importer.Progress, c importer.Counts) error {
	if err := d.freeze(ctx); err != nil {
		return err
	}
	return d.DB.Renew(ctx, id, epoch, p, c)
}

func (d *disturbed) Release(ctx context.Context, id uuid.UUID, epoch int64, notBefore time.Time) error {
	if d.frozen.Load() {
		return context.Canceled
	}
	return d.DB.Release(ctx, id, epoch, notBefore)
}

func (d *disturbed) ClaimImports(ctx context.Context, node uuid.UUID, limit int) ([]importer.Claim, error) {
	if err := d.freeze(ctx); err != nil {
		return nil, err
	}
	return d.DB.ClaimImports(ctx, node, limit)
}

func startMachine(t testing.TB, url, dir string, disturb func(*disturbed)) *machine {
	t.Helper()
	m := &machine{t: t, url: url, dir: dir, node: uuid.New(), store: dbtest.OpenURL(t, url)}
	var err error
	if m.files, err = spool.Open(dir); err != nil {
		t.Fatal(err)
	}
	store := &disturbed{DB: m.store}
	if disturb != nil {
		disturb(store)
	}
	m.system, err = actors.Start(actors.Options{
		Store: store, Events: m.store, Spool: m.files, OpenRows: csvfile.Open, Node: m.node, Writers: 2,
		OnCommit: m.store.OnCommit, Log: zerolog.Nop(),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(m.shutdown)
	return m
}

func (m *machine) shutdown() {
	m.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	if err := m.system.Shutdown(ctx); err != nil {
		m.t.Errorf("shutdown: %v", err)
	}
}

func (m *machine) upload(n importer.NewImport, text []byte) uuid.UUID {
	m.t.Helper()
	ctx := m.t.Context()
	n.Size = int64(len(text))
	claim, err := m.store.CreateImport(ctx, n, m.node)
	if err != nil {
		m.t.Fatal(err)
	}
	if err := m.files.Create(ctx, claim.ID); err != nil {
		m.t.Fatal(err)
	}
	m.system.Begin(claim)
	size, err := m.files.Append(ctx, claim.ID, 0, bytes.NewReader(text))
	if err != nil {
		m.t.Fatal(err)
	}
	if err := m.files.Seal(ctx, claim.ID); err != nil {
		m.t.Fatal(err)
	}
	m.system.Received(claim.ID, size)
	if _, err := m.store.Uploaded(ctx, claim.ID, size); err != nil {
		m.t.Fatal(err)
	}
	m.system.Wake(claim.ID)
	return claim.ID
}

func (m *machine) await(id uuid.UUID, want importer.State) (imp importer.Import) {
	m.t.Helper()
	until(m.t, "import to be "+string(want), func() bool {
		var err error
		if imp, err = m.store.Import(m.t.Context(), id); err != nil {
			if importer.ErrorCode(err) != importer.Unavailable { // a test may cut connections
				m.t.Fatal(err)
			}
			return false
		}
		if imp.State.Ended() && imp.State != want {
			m.t.Fatalf("import is %s (%+v), want %s", imp.State, imp.Error, want)
		}
		return imp.State == want
	})
	return imp
}

// exec is called from the test's goroutine only.
func (m *machine) exec(sql string) {
	m.t.Helper()
	conn, err := pgx.Connect(m.t.Context(), m.url)
	if err != nil {
		m.t.Fatal(err)
	}
	defer conn.Close(context.Background())
	if _, err := conn.Exec(m.t.Context(), sql); err != nil {
		m.t.Fatalf("%s: %v", sql, err)
	}
}

func (m *machine) products() (n int64) {
	m.t.Helper()
	conn, err := pgx.Connect(m.t.Context(), m.url)
	if err != nil {
		m.t.Fatal(err)
	}
	defer conn.Close(context.Background())
	if err := conn.QueryRow(m.t.Context(), "SELECT count(*) FROM products").Scan(&n); err != nil {
		m.t.Fatal(err)
	}
	return n
}

// catalogue is a file and what an import of it into nothing gives.
func catalogue(t testing.TB, rows int) ([]byte, importer.Counts) {
	t.Helper()
	var text bytes.Buffer
	c, err := sample.Write(&text, sample.Options{Rows: rows, Repeats: 0.05, Bad: 0.01, Seed: 7})
	if err != nil {
		t.Fatal(err)
	}
	return text.Bytes(), importer.Counts{Rows: int64(c.Rows), Created: int64(c.Created), Duplicates: int64(c.Duplicates), Rejected: int64(c.Rejected)}
}

func (m *machine) checkCompleted(id uuid.UUID, want importer.Counts) importer.Import {
	m.t.Helper()
	imp := m.await(id, importer.Completed)
	if diff := cmp.Diff(want, imp.Counts); diff != "" {
		m.t.Errorf("counts (-want +got):\n%s", diff)
	}
	if got := m.products(); got != want.Written() {
		m.t.Errorf("got %d products, want %d", got, want.Written())
	}
	if imp.Progress.Percent != 100 || imp.Progress.RowsDone != want.Written() {
		m.t.Errorf("progress %+v", imp.Progress)
	}
	return imp
}

func TestPostgresImport(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	text, want := catalogue(t, 50_000)
	m.checkCompleted(m.upload(importer.NewImport{BatchRows: 2_000}, text), want)
	// Again: nothing changes.
	want.Created, want.Unchanged = 0, want.Created
	id := m.upload(importer.NewImport{BatchRows: 2_000}, text)
	m.checkCompleted(id, want)
	page, err := m.store.Rejects(t.Context(), id, 0, 10)
	if err != nil || page.Total != want.Rejected {
		t.Errorf("got %d rejects (%v), want %d", page.Total, err, want.Rejected)
	}
}

func TestPostgresDryRun(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	text, want := catalogue(t, 20_000)
	want.Created = 0
	imp := m.await(m.upload(importer.NewImport{DryRun: true}, text), importer.Completed)
	if diff := cmp.Diff(want, imp.Counts); diff != "" || m.products() != 0 {
		t.Errorf("%d products, counts (-want +got):\n%s", m.products(), diff)
	}
}

// Panics before and after commits, at fixed batches.
func TestPostgresWritersCrash(t *testing.T) {
	t.Parallel()
	var before, after [4]atomic.Bool
	m := startMachine(t, dbtest.URL(t), t.TempDir(), func(d *disturbed) {
		d.beforeMerge = func(_ context.Context, b importer.Batch) error {
			if b.Number%4 == 1 && !before[b.Number/4%4].Swap(true) {
				panic("before the commit")
			}
			return nil
		}
		d.afterMerge = func(b importer.Batch) error {
			if b.Number%4 == 2 && !after[b.Number/4%4].Swap(true) {
				panic("after the commit")
			}
			return nil
		}
	})
	text, want := catalogue(t, 16_000)
	m.checkCompleted(m.upload(importer.NewImport{BatchRows: 1_000}, text), want)
}

// A machine freezes in the middle; its lease runs out and another one goes
// on. When it wakes, it is fenced.
func TestPostgresTakeover(t *testing.T) {
	t.Parallel()
	url, dir := dbtest.URL(t), t.TempDir()
	text, want := catalogue(t, 40_000)
	half, thaw := make(chan struct{}), make(chan struct{})
	var merges atomic.Int64
	first := startMachine(t, url, dir, func(d *disturbed) {
		d.beforeMerge = func(context.Context, importer.Batch) error {
			if merges.Add(1) > 10 {
				if !d.frozen.Swap(true) {
					close(half)
				}
				<-thaw // deaf, as a stopped process is
			}
			return nil
		}
	})
	id := first.upload(importer.NewImport{BatchRows: 1_000}, text)
	<-half
	first.exec("UPDATE imports SET lease_until = now()") // instead of ten seconds
	second := startMachine(t, url, dir, nil)
	second.system.Wake(id)
	until(t, "the second machine to have the lease", func() bool {
		imp, err := second.store.Import(t.Context(), id)
		return err == nil && imp.Attempts == 2
	})
	close(thaw) // the first one writes its batches now, under its old epoch
	second.checkCompleted(id, want)
}

// Every connection is cut, again and again, while batches are under way.
func TestPostgresConnectionsCut(t *testing.T) {
	t.Parallel()
	url := dbtest.URL(t)
	scissors, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { scissors.Close(context.Background()) })
	var mu sync.Mutex
	cuts := 0
	m := startMachine(t, url, t.TempDir(), func(d *disturbed) {
		d.beforeMerge = func(ctx context.Context, b importer.Batch) error {
			mu.Lock()
			defer mu.Unlock()
			if b.Number%4 != 2 || cuts == 5 { // 2 to 18, of 0 to 18, and those that come again
				return nil
			}
			cuts++
			_, err := scissors.Exec(ctx, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()")
			return err
		}
	})
	text, want := catalogue(t, 20_000)
	m.checkCompleted(m.upload(importer.NewImport{BatchRows: 1_000}, text), want)
	if cuts != 5 {
		t.Errorf("connections were cut %d times, want 5", cuts)
	}
}

// What the cancellation counts is what the catalogue has.
func TestPostgresCancel(t *testing.T) {
	t.Parallel()
	fifth := make(chan struct{})
	var merges atomic.Int64
	m := startMachine(t, dbtest.URL(t), t.TempDir(), func(d *disturbed) {
		d.afterMerge = func(importer.Batch) error {
			if merges.Add(1) == 5 {
				close(fifth)
			}
			return nil
		}
	})
	text, want := catalogue(t, 60_000)
	id := m.upload(importer.NewImport{BatchRows: 500}, text)
	<-fifth
	imp, err := m.store.CancelImport(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	m.system.Stop(id)
	m.shutdown()
	if got := m.products(); got != imp.Counts.Created || got == 0 {
		t.Errorf("got %d products, want the %d that the cancellation counted", got, imp.Counts.Created)
	}
	// A retry on another machine completes it. What was there before counts
	// as created, for the ledger says so.
	if _, err := m.store.RetryImport(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	second := startMachine(t, m.url, m.dir, nil)
	second.checkCompleted(id, want)
}

// A shutdown in the middle hands the import over at once.
func TestPostgresHandOver(t *testing.T) {
	t.Parallel()
	fifth := make(chan struct{})
	var merges atomic.Int64
	m := startMachine(t, dbtest.URL(t), t.TempDir(), func(d *disturbed) {
		d.afterMerge = func(importer.Batch) error {
			if merges.Add(1) == 5 {
				close(fifth)
			}
			return nil
		}
	})
	text, want := catalogue(t, 60_000)
	id := m.upload(importer.NewImport{BatchRows: 500}, text)
	<-fifth
	m.shutdown()
	second := startMachine(t, m.url, m.dir, nil)
	imp := second.checkCompleted(id, want)
	if imp.Attempts != 2 {
		t.Errorf("got %d attempts, want 2", imp.Attempts)
	}
}
