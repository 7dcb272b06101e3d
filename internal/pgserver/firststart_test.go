package pgserver_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"importer/internal/pgserver"
)

// A first start that is killed leaves no cluster, only what the next removes.
func TestKilledFirstStart(t *testing.T) {
	t.Parallel()
	root := openDir(t, 0)
	h, _ := spawnHelper(t, os.Geteuid(), root)
	eventually(t, "initdb runs", initdbRuns(root))
	h.kill()
	if _, err := os.Stat(filepath.Join(root, "data")); !errors.Is(err, os.ErrNotExist) {
		t.Fatalf("data/ of a killed first start: got %v, want none", err)
	}
	c := start(t, root)
	connect(t, c.DSN()).must(t, "SELECT 1")
	if left := unfinished(t, root); len(left) > 0 {
		t.Errorf("got %v left", left)
	}
}

func TestRemovesOnlyItsOwn(t *testing.T) {
	t.Parallel()
	root := openDir(t, 0)
	must(t, os.MkdirAll(filepath.Join(root, "initdb-12345", "base"), 0o700))
	must(t, os.Mkdir(filepath.Join(root, "initdb-notes"), 0o700))
	must(t, os.WriteFile(filepath.Join(root, "initdb-1"), nil, 0o600))
	must(t, os.Mkdir(filepath.Join(root, "data"), 0o700)) // empty: as good as none
	start(t, root)
	want := []string{filepath.Join(root, "initdb-1"), filepath.Join(root, "initdb-notes")}
	if diff := cmp.Diff(want, unfinished(t, root)); diff != "" {
		t.Errorf("left (-want +got):\n%s", diff)
	}
}

func TestLeavesForeignDataAlone(t *testing.T) {
	t.Parallel()
	tests := map[string]struct{ file, content, want string }{
		"newer major":  {"PG_VERSION", "97\n", "belongs to PostgreSQL 97"},
		"too old":      {"PG_VERSION", "9.6\n", "not a PostgreSQL version"},
		"old":          {"PG_VERSION", "13\n", "belongs to PostgreSQL 13"},
		"no cluster":   {"thesis.tex", "text", "no PostgreSQL cluster"},
		"empty marker": {"PG_VERSION", "", "not a PostgreSQL version"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			root := openDir(t, 0)
			file := filepath.Join(root, "data", tt.file)
			must(t, os.Mkdir(filepath.Dir(file), 0o700))
			must(t, os.WriteFile(file, []byte(tt.content), 0o600))
			_, err := pgserver.Start(t.Context(), throwaway(t, root))
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want an error with %q", err, tt.want)
			}
			if got, err := os.ReadFile(file); err != nil || string(got) != tt.content {
				t.Errorf("%s: got %q, %v, want it unchanged", file, got, err)
			}
		})
	}
}

func TestFullDiskIsReadable(t *testing.T) {
	t.Parallel()
	root := openDir(t, 0)
	o := throwaway(t, root)
	o.BinDir = fakeServer(t, openDir(t, 0), "17.5",
		`echo "creating subdirectories ... "; echo "initdb: error: could not write: No space left on device" >&2; exit 1`)
	_, err := pgserver.Start(t.Context(), o)
	want := "create a PostgreSQL 17 cluster in " + root + ": initdb: could not write: No space left on device"
	if err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
	if left := unfinished(t, root); len(left) > 0 {
		t.Errorf("got %v left", left)
	}
}

func TestFirstStartCancelled(t *testing.T) {
	t.Parallel()
	root := openDir(t, 0)
	o := throwaway(t, root)
	o.BinDir = fakeServer(t, openDir(t, 0), "17.5", `sleep 1000 & mkdir "$2/base"; wait`) // a child, as initdb has one
	ctx, cancel := context.WithCancel(t.Context())
	failed := make(chan error, 1)
	go func() {
		_, err := pgserver.Start(ctx, o)
		failed <- err
	}()
	eventually(t, "initdb runs", initdbRuns(root))
	cancel()
	if err := <-failed; !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want context.Canceled", err)
	}
	if left := unfinished(t, root); len(left) > 0 {
		t.Errorf("got %v left", left)
	}
}

// Root runs the server as another user, who must get to the data directory.
func TestClosedParent(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("only root changes to another user")
	}
	closed := filepath.Join(openDir(t, 0), "closed")
	must(t, os.Mkdir(closed, 0o700))
	_, err := pgserver.Start(t.Context(), throwaway(t, filepath.Join(closed, "importer", "pg")))
	if err == nil || !strings.Contains(err.Error(), closed+" is closed to ") || !strings.Contains(err.Error(), "chmod o+x "+closed) {
		t.Errorf("got %v, want an error that names %s and what to do", err, closed)
	}
	if entries, _ := os.ReadDir(closed); len(entries) > 0 {
		t.Errorf("got %v made in vain", entries)
	}
}

func TestClusterOfAnotherUser(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("only root makes a cluster of another user")
	}
	root := openDir(t, 0)
	must(t, start(t, root).Stop(t.Context()))
	must(t, os.Chmod(filepath.Join(root, "lock"), 0o666))
	h := startHelper(t, nobody(t), root)
	if !strings.Contains(h.Err, "belongs to another user") {
		t.Errorf("got %q, want whose the cluster is", h.Err)
	}

	must(t, os.Chown(filepath.Join(root, "data"), 0, 0)) // a copy made by root, say
	_, err := pgserver.Start(t.Context(), throwaway(t, root))
	if err == nil || !strings.Contains(err.Error(), "chown -R ") {
		t.Errorf("got %v, want it to say how to give the cluster back", err)
	}
}

// A change of the owner takes everything else along.
func TestChangedOwner(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("only root changes the owner of a cluster")
	}
	root := openDir(t, 0)
	must(t, start(t, root).Stop(t.Context()))
	uid := nobody(t)
	run(t, "chown", "-R", strconv.Itoa(uid), filepath.Join(root, "data"))
	c := start(t, root)
	connect(t, c.DSN()).must(t, "SELECT 1")
	info, err := os.Stat(socketOf(t, c.DSN()))
	must(t, err)
	if got := int(info.Sys().(*syscall.Stat_t).Uid); got != uid {
		t.Errorf("owner of the socket: got %d, want the new owner, %d", got, uid)
	}
}

// initdbRuns sees one of the first directories that initdb makes.
func initdbRuns(root string) func() bool {
	return func() bool {
		found, err := filepath.Glob(filepath.Join(root, "initdb-*", "base"))
		return err == nil && len(found) > 0
	}
}
