package db_test

import (
	"context"
	"errors"
	"net"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"importer"
	"importer/db"
	"importer/db/dbtest"
)

func TestMain(m *testing.M) { dbtest.Main(m) }

func TestUnreachableDatabaseIsUnavailable(t *testing.T) {
	t.Parallel()
	if err := dbtest.Open(t).Ping(t.Context()); err != nil {
		t.Errorf("got %v, want an answer", err)
	}

	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nobody := listener.Addr().String()
	listener.Close()
	d, err := db.Open(db.Options{URL: "postgres://importer:secret@" + nobody + "/importer"})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	id := nodeA
	steps := map[string]func() error{
		"Ping":          func() error { return d.Ping(t.Context()) },
		"Migrate":       func() error { return d.Migrate(t.Context()) },
		"Import":        func() error { _, err := d.Import(t.Context(), id); return err },
		"CancelImport":  func() error { _, err := d.CancelImport(t.Context(), id); return err },
		"ClaimImports":  func() error { _, err := d.ClaimImports(t.Context(), nodeA, 1); return err },
		"Renew":         func() error { return d.Renew(t.Context(), id, 1, importer.Progress{}, importer.Counts{}) },
		"TopicSnapshot": func() error { _, err := d.TopicSnapshot(t.Context(), importer.TopicImports); return err },
		"MergeBatch": func() error {
			_, err := d.MergeBatch(t.Context(), importer.Batch{Rows: rowsOf("a")}, "copy")
			return err
		},
	}
	for name, step := range steps {
		if err := step(); importer.ErrorCode(err) != importer.Unavailable {
			t.Errorf("%s: got %v, want %v", name, err, importer.Unavailable)
		}
	}
}

// TestSilentDatabaseIsUnavailable connects to something that accepts and then
// says nothing.
func TestSilentDatabaseIsUnavailable(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	d, err := db.Open(db.Options{URL: "postgres://importer@" + listener.Addr().String() + "/importer?sslmode=disable&connect_timeout=1"})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if err := d.Ping(t.Context()); importer.ErrorCode(err) != importer.Unavailable {
		t.Errorf("got %v, want %v", err, importer.Unavailable)
	}
}

// TestServerThatEndsASession is what a restart looks like to a batch.
func TestServerThatEndsASession(t *testing.T) {
	t.Parallel()
	url := dbtest.URL(t)
	d, conn := dbtest.OpenURL(t, url), connect(t, url)
	c := writing(t, d, 1)
	other := begin(t, conn)
	mustExec(t, other, "INSERT INTO products (sku, sku_key, name) VALUES ('a', 'a', 'a')")
	merged := make(chan error, 1)
	go func() {
		_, err := d.MergeBatch(t.Context(), batchOf(c, 0, rowsOf("a")), "")
		merged <- err
	}()
	waitForLock(t, url)
	mustExec(t, other, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'")
	if err := <-merged; importer.ErrorCode(err) != importer.Unavailable {
		t.Errorf("got %v, want %v", err, importer.Unavailable)
	}
}

func TestCancelledContext(t *testing.T) {
	t.Parallel()
	d := dbtest.Open(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := d.Imports(ctx, importer.ImportPage{}); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want %v", err, context.Canceled)
	}
}

func TestOpenKeepsThePasswordSecret(t *testing.T) {
	t.Parallel()
	_, err := db.Open(db.Options{URL: "postgres://importer:hunter2@host:notaport/x"})
	if importer.ErrorCode(err) != importer.Invalid || errors.Unwrap(err) != nil {
		t.Errorf("got %v, want %v and no cause", err, importer.Invalid)
	}
}

// connect opens a connection to look behind the package's back.
func connect(t testing.TB, url string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close(context.Background()) })
	return conn
}

// begin starts a transaction that ends with the test at the latest.
func begin(t testing.TB, conn *pgx.Conn) pgx.Tx {
	t.Helper()
	tx, err := conn.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = tx.Rollback(context.Background()) })
	return tx
}

// waitForLock returns once a session of this database waits for a lock.
func waitForLock(t testing.TB, url string) {
	t.Helper()
	waitForLocks(t, url, 1)
}

// waitForLocks returns once so many sessions of this database do.
func waitForLocks(t testing.TB, url string, sessions int) {
	t.Helper()
	conn := connect(t, url)
	deadline := time.Now().Add(30 * time.Second)
	for time.Now().Before(deadline) {
		var waiting bool
		err := conn.QueryRow(t.Context(), "SELECT count(*) >= $1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'", sessions).Scan(&waiting)
		if err != nil {
			t.Fatal(err)
		}
		if waiting {
			return
		}
	}
	t.Fatal("nobody waits for a lock")
}
