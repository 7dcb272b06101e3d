package pgserver_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/rs/zerolog"

	"importer/internal/pgserver"
)

func TestDataOutlivesStop(t *testing.T) {
	t.Parallel()
	root := filepath.Join(openDir(t, 0), "made", "by", "start")
	c := start(t, root)
	if !c.Created() {
		t.Error("first start: got Created() false, want true")
	}
	connect(t, c.DSN()).must(t, "CREATE TABLE x AS SELECT generate_series(1, 100) AS i")
	pid := c.PID()
	if got, err := syscall.Getpgid(pid); err != nil || got != pid {
		t.Errorf("process group of the server: got %d, %v, want its own, %d", got, err, pid)
	}
	for range 2 {
		if err := c.Stop(t.Context()); err != nil {
			t.Fatalf("stop: %v", err)
		}
	}
	if b, err := os.ReadFile(filepath.Join(root, "lock")); err != nil || len(b) > 0 {
		t.Errorf("lock after Stop: got %q, %v, want no pid in it", b, err)
	}
	if !gone(pid) || c.PID() != 0 {
		t.Errorf("after Stop: process %d gone %v, PID() %d", pid, gone(pid), c.PID())
	}

	c = start(t, root)
	if c.Created() {
		t.Error("second start: got Created() true, want false")
	}
	if got := connect(t, c.DSN()).must(t, "SELECT count(*) FROM x"); got != "100" {
		t.Errorf("rows after the second start: got %s, want 100", got)
	}
}

func TestSettings(t *testing.T) {
	t.Parallel()
	c, err := pgserver.Start(t.Context(), pgserver.Options{Root: openDir(t, 0), Log: zerolog.Nop()})
	must(t, err)
	defer c.Stop(context.Background())
	s := connect(t, c.DSN())
	got := map[string]string{}
	want := map[string]string{
		"SHOW shared_buffers":       "256MB",
		"SHOW wal_level":            "minimal",
		"SHOW max_wal_senders":      "0",
		"SHOW max_wal_size":         "4GB",
		"SHOW checkpoint_timeout":   "15min",
		"SHOW jit":                  "off",
		"SHOW random_page_cost":     "1.1",
		"SHOW fsync":                "on",
		"SHOW synchronous_commit":   "on",
		"SHOW full_page_writes":     "on",
		"SHOW data_checksums":       "on",
		"SHOW listen_addresses":     "",
		"SHOW server_encoding":      "UTF8",
		"SHOW timezone":             "UTC",
		"SELECT 'B' < 'a'":          "t", // by bytes
		"SELECT lower('ÄÉ')":        "äé",
		"SELECT current_user":       "importer",
		"SELECT current_database()": "importer",
		"SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = 'importer'":                          "importer",
		"SELECT rolsuper OR rolcreaterole OR rolbypassrls FROM pg_roles WHERE rolname = 'importer'":           "f",
		"SELECT string_agg(auth_method || ' ' || type, ';') FROM (SELECT 'peer' auth_method, 'local' type) x": "peer local",
	}
	for sql := range want {
		got[sql] = s.must(t, sql)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("settings (-want +got):\n%s", diff)
	}
	if compression := s.must(t, "SHOW wal_compression"); compression == "off" {
		t.Error("wal_compression: got off")
	}
}

// The application's role makes databases for tests from a template of its own.
func TestRoleClonesDatabases(t *testing.T) {
	t.Parallel()
	c := start(t, openDir(t, 0))
	s := connect(t, c.DSN())
	s.must(t, "CREATE DATABASE template")
	connect(t, c.DSNFor("template")).conn.Close() // makes the name part of the DSN, and leaves nobody connected
	eventually(t, "the template has no connections", func() bool {
		return s.must(t, "SELECT count(*) FROM pg_stat_activity WHERE datname = 'template'") == "0"
	})
	s.must(t, "CREATE DATABASE clone TEMPLATE template")
	if got := connect(t, c.DSNFor("clone")).must(t, "SELECT current_database()"); got != "clone" {
		t.Errorf("got %s, want clone", got)
	}
}

func TestLockedByThisProcess(t *testing.T) {
	t.Parallel()
	root := openDir(t, 0)
	start(t, root)
	_, err := pgserver.Start(t.Context(), throwaway(t, root))
	var locked *pgserver.LockedError
	if !errors.As(err, &locked) {
		t.Fatalf("got %v, want a LockedError", err)
	}
	if diff := cmp.Diff(&pgserver.LockedError{Dir: root, PID: os.Getpid()}, locked); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestLockedByAnotherProcess(t *testing.T) {
	t.Parallel()
	root := openDir(t, 0)
	h := startHelper(t, os.Geteuid(), root)
	_, err := pgserver.Start(t.Context(), throwaway(t, root))
	var locked *pgserver.LockedError
	if !errors.As(err, &locked) || locked.PID != h.cmd.Process.Pid {
		t.Fatalf("got %v, want a LockedError that names process %d", err, h.cmd.Process.Pid)
	}
	h.stop(t)
	start(t, root)
}

func TestOneOfSeveralStartsWins(t *testing.T) {
	t.Parallel()
	root := openDir(t, 0)
	clusters := make([]*pgserver.Cluster, 5)
	errs := make([]error, len(clusters))
	var wg sync.WaitGroup
	for i := range clusters {
		wg.Go(func() { clusters[i], errs[i] = pgserver.Start(t.Context(), throwaway(t, root)) })
	}
	wg.Wait()
	won := 0
	for i, c := range clusters {
		if c != nil {
			won++
			must(t, c.Stop(context.Background()))
			continue
		}
		if !errors.As(errs[i], new(*pgserver.LockedError)) {
			t.Errorf("start %d: got %v, want a LockedError", i, errs[i])
		}
	}
	if won != 1 {
		t.Errorf("got %d winners, want 1", won)
	}
}

func TestLongRootGetsShortSocket(t *testing.T) {
	t.Parallel()
	root := filepath.Join(openDir(t, 0), strings.Repeat("a-long-name/", 10), "with ' a quote")
	c := start(t, root)
	connect(t, c.DSN()).must(t, "SELECT 1")
	dir := filepath.Dir(socketOf(t, c.DSN()))
	if len(dir) > 80 || strings.HasPrefix(dir, root) {
		t.Errorf("socket directory: got %s, want a short one elsewhere", dir)
	}
	must(t, c.Stop(t.Context()))
	if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%s after Stop: got %v, want it removed", dir, err)
	}
}

// A developer's own PostgreSQL settings are for another server.
func TestEnvironmentDoesNotMatter(t *testing.T) {
	t.Parallel()
	h := startHelper(t, os.Geteuid(), openDir(t, 0), "PGPORT=", "PGOPTIONS=-c work_mem=1", "PGDATA=/nonsense", "PGHOST=/nonsense",
		"PGUSER=nonsense", "LC_ALL=xx_YY", "LC_MESSAGES=de_DE", "LANG=nonsense", "TZ=nonsense")
	if h.Err != "" {
		t.Fatal(h.Err)
	}
	if got := connect(t, h.DSN).must(t, "SHOW work_mem"); got != "4MB" {
		t.Errorf("work_mem: got %s, want PostgreSQL's own 4MB", got)
	}
	h.stop(t)
}

// An unprivileged process runs the server as itself.
func TestUnprivileged(t *testing.T) {
	t.Parallel()
	for name, uid := range users(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			root := openDir(t, uid)
			h := startHelper(t, uid, root)
			if h.Err != "" {
				t.Fatal(h.Err)
			}
			connect(t, h.DSN).must(t, "SELECT 1")
			h.stop(t)
			info, err := os.Stat(filepath.Join(root, "data"))
			must(t, err)
			owner := int(info.Sys().(*syscall.Stat_t).Uid)
			if uid != 0 && owner != uid || owner == 0 {
				t.Errorf("owner of the cluster: got %d for a process of %d", owner, uid)
			}
		})
	}
}
