// Package dbtest gives each test a database of its own on a real PostgreSQL.
//
//	func TestMain(m *testing.M) { dbtest.Main(m) }
//
//	func TestSomething(t *testing.T) {
//		t.Parallel()
//		d := dbtest.Open(t)
//
// Only tests import it. A database is a copy of a migrated template, which
// takes some 20 ms, and is dropped when its test ends.
package dbtest

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/rs/zerolog"

	"importer/db"
	"importer/internal/pgserver"
	"importer/migrations"
)

// serverURL names a server to use instead of a throw-away one. Its role must
// be allowed to create databases.
const serverURL = "TEST_DATABASE_URL"

// templateLock is the advisory lock under which the template is made: test
// binaries of several packages may share a server.
const templateLock = 0x64627465

// Main runs the tests of a package with a throw-away server, unless
// TEST_DATABASE_URL names one. It hands the server to Open and URL, also in
// child processes, in that variable.
func Main(m *testing.M) {
	if os.Getenv(serverURL) != "" {
		m.Run()
		return
	}
	if err := withServer(func() { m.Run() }); err != nil {
		fmt.Fprintln(os.Stderr, "dbtest:", err)
		os.Exit(1)
	}
}

// Open opens a migrated database that only this test uses.
func Open(t testing.TB) *db.DB {
	t.Helper()
	return OpenURL(t, URL(t))
}

// OpenURL opens a database that a test has already, as a second machine would.
func OpenURL(t testing.TB, url string) *db.DB {
	t.Helper()
	d, err := db.Open(db.Options{URL: url, MaxConns: 16, Log: zerolog.New(zerolog.NewTestWriter(t))})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d
}

// URL makes a migrated database for this test and returns where it is.
func URL(t testing.TB) string {
	t.Helper()
	server := os.Getenv(serverURL)
	if server == "" {
		t.Fatal("call dbtest.Main from TestMain, or set " + serverURL)
	}
	template, err := ensureTemplate(t.Context(), server)
	if err != nil {
		t.Fatalf("make template database: %v", err)
	}
	// file_copy: the template is too small for its log records to be cheaper.
	return create(t, server, "TEMPLATE "+template+" STRATEGY file_copy")
}

// EmptyURL makes a database without any table.
func EmptyURL(t testing.TB) string {
	t.Helper()
	server := os.Getenv(serverURL)
	if server == "" {
		t.Fatal("call dbtest.Main from TestMain, or set " + serverURL)
	}
	return create(t, server, "")
}

// create makes a database for the time of a test.
func create(t testing.TB, server, how string) string {
	t.Helper()
	name := "importer_test_" + strings.ReplaceAll(uuid.NewString(), "-", "")
	mustExec(t, server, "CREATE DATABASE "+name+" "+how)
	t.Cleanup(func() { mustExec(t, server, "DROP DATABASE IF EXISTS "+name+" WITH (FORCE)") })
	return withDatabase(server, name)
}

// withServer runs f while a throw-away server is up, in memory if it can be.
func withServer(f func()) (err error) {
	parent := ""
	if info, err := os.Stat("/dev/shm"); err == nil && info.IsDir() {
		parent = "/dev/shm"
	}
	root, err := os.MkdirTemp(parent, "importer-dbtest-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(root)
	// Root runs the server as another user, who has to enter.
	if err := os.Chmod(root, 0o711); err != nil {
		return err
	}
	ctx := context.Background()
	cluster, err := pgserver.Start(ctx, pgserver.Options{Root: filepath.Join(root, "pg"), Throwaway: true, Log: zerolog.New(os.Stderr).Level(zerolog.ErrorLevel)})
	if err != nil {
		return err
	}
	defer func() {
		if stopErr := cluster.Stop(ctx); err == nil {
			err = stopErr
		}
	}()
	if err := os.Setenv(serverURL, cluster.DSN()); err != nil {
		return err
	}
	f()
	return nil
}

// ensureTemplate returns the name of a database with the current schema. It
// is renamed once it is whole, so that a crash leaves no half of one.
func ensureTemplate(ctx context.Context, server string) (string, error) {
	hash, err := hashMigrations()
	if err != nil {
		return "", err
	}
	name := "importer_template_" + hash
	conn, err := pgx.Connect(ctx, server)
	if err != nil {
		return "", err
	}
	defer conn.Close(ctx) // frees the lock
	if _, err := conn.Exec(ctx, "SELECT pg_advisory_lock($1)", templateLock); err != nil {
		return "", err
	}
	var exists bool
	if err := conn.QueryRow(ctx, "SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)", name).Scan(&exists); err != nil || exists {
		return name, err
	}

	making := name + "_making"
	for _, sql := range []string{"DROP DATABASE IF EXISTS " + making, "CREATE DATABASE " + making} {
		if _, err := conn.Exec(ctx, sql); err != nil {
			return "", err
		}
	}
	d, err := db.Open(db.Options{URL: withDatabase(server, making), Log: zerolog.Nop()})
	if err != nil {
		return "", err
	}
	err = d.Migrate(ctx)
	d.Close()
	if err != nil {
		return "", err
	}
	_, err = conn.Exec(ctx, "ALTER DATABASE "+making+" RENAME TO "+name)
	return name, err
}

func hashMigrations() (string, error) {
	names, err := fs.Glob(migrations.Files, "*.sql")
	if err != nil {
		return "", err
	}
	h := sha256.New()
	for _, name := range names {
		text, err := migrations.Files.ReadFile(name)
		if err != nil {
			return "", err
		}
		fmt.Fprintf(h, "%s %d\n%s", name, len(text), text)
	}
	return hex.EncodeToString(h.Sum(nil)[:6]), nil
}

// withDatabase is server for another database, in either notation of libpq.
func withDatabase(server, name string) string {
	if u, err := url.Parse(server); err == nil && u.Scheme != "" {
		u.Path = "/" + name
		return u.String()
	}
	return server + " dbname=" + name // the last one counts
}

// mustExec runs one statement on a connection of its own. It works in a
// cleanup too, when the test's context has ended.
func mustExec(t testing.TB, server, sql string) {
	t.Helper()
	ctx := context.Background()
	conn, err := pgx.Connect(ctx, server)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(ctx)
	if _, err := conn.Exec(ctx, sql); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
}
