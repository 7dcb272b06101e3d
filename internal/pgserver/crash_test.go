package pgserver_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"importer/internal/pgserver"
)

// kill -9 of the program loses nothing that was committed.
func TestKillNine(t *testing.T) {
	t.Parallel()
	for name, uid := range users(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			root := openDir(t, uid)
			h := startHelper(t, uid, root)
			if h.Err != "" {
				t.Fatal(h.Err)
			}
			s := connect(t, h.DSN)
			s.must(t, "CREATE TABLE x AS SELECT generate_series(1, 1000) AS i")
			s.must(t, "BEGIN; INSERT INTO x VALUES (1001)")
			h.kill()

			again := startHelper(t, uid, root)
			if again.Err != "" {
				t.Fatal(again.Err)
			}
			if again.PID == h.PID {
				t.Errorf("got the server of the killed process, %d, want a new one", h.PID)
			}
			if got := connect(t, again.DSN).must(t, "SELECT count(*) FROM x"); got != "1000" || again.Created {
				t.Errorf("got %s rows, created %v, want 1000, false", got, again.Created)
			}
			again.stop(t)
		})
	}
}

// Where no signal tells of the parent's death, the server outlives it.
func TestStopsOrphan(t *testing.T) {
	t.Parallel()
	root := openDir(t, 0)
	c := start(t, root)
	connect(t, c.DSN()).must(t, "CREATE TABLE x AS SELECT generate_series(1, 1000) AS i")
	must(t, c.Stop(t.Context()))

	data := filepath.Join(root, "data")
	orphan := asOwner(t, data, serverProgram(t), "-D", data, "-k", filepath.Join(root, "run"), "-c", "listen_addresses=")
	ended := make(chan error, 1)
	go func() { ended <- orphan.Wait() }()
	eventually(t, "the orphan is ready", func() bool {
		b, _ := os.ReadFile(filepath.Join(data, "postmaster.pid"))
		return strings.HasPrefix(string(b), fmt.Sprint(orphan.Process.Pid, "\n")) && strings.Contains(string(b), "ready")
	})

	c = start(t, root)
	if err := <-ended; err != nil {
		t.Errorf("orphan: got %v, want a clean exit", err)
	}
	if got := connect(t, c.DSN()).must(t, "SELECT count(*) FROM x"); got != "1000" {
		t.Errorf("got %s rows, want 1000", got)
	}
}

// After a crash of the machine, or in a container started again, the pid in the
// files may belong to anything; PostgreSQL alone would refuse to start.
func TestStalePIDFiles(t *testing.T) {
	t.Parallel()
	root := openDir(t, 0)
	c := start(t, root)
	pidFile := filepath.Join(root, "data", "postmaster.pid")
	content, err := os.ReadFile(pidFile)
	must(t, err)
	must(t, c.Stop(t.Context()))

	other := asOwner(t, filepath.Join(root, "data"), "/bin/sleep", "1000")
	defer func() { other.Process.Kill(); other.Wait() }()
	_, rest, _ := strings.Cut(string(content), "\n")
	stale := []byte(fmt.Sprintf("%d\n%s", other.Process.Pid, rest))
	lock := socketOf(t, c.DSN()) + ".lock"
	for _, file := range []string{pidFile, lock} {
		must(t, os.WriteFile(file, stale, 0o600))
		info, err := os.Stat(filepath.Dir(file))
		must(t, err)
		must(t, os.Chown(file, int(info.Sys().(*syscall.Stat_t).Uid), -1))
	}

	c = start(t, root)
	connect(t, c.DSN()).must(t, "SELECT 1")
	if err := syscall.Kill(other.Process.Pid, 0); err != nil {
		t.Errorf("the process whose pid was in the files: got %v, want it untouched", err)
	}
}

// The server is started again however it died, even when a backend that is busy
// computing does not notice.
func TestRestartsServer(t *testing.T) {
	t.Parallel()
	for _, sig := range []syscall.Signal{syscall.SIGINT, syscall.SIGQUIT, syscall.SIGKILL} {
		t.Run(sig.String(), func(t *testing.T) {
			t.Parallel()
			c := startDurable(t, openDir(t, 0))
			s := connect(t, c.DSN())
			s.must(t, "CREATE TABLE x AS SELECT generate_series(1, 1000) AS i")
			must(t, connect(t, c.DSN()).begin("SELECT count(*) FROM generate_series(1, 100000) a, generate_series(1, 100000) b"))
			eventually(t, "the backend is busy", func() bool {
				return s.must(t, "SELECT count(*) FROM pg_stat_activity WHERE state = 'active'") == "2"
			})
			old := c.PID()
			must(t, syscall.Kill(old, sig))

			eventually(t, "a new server", func() bool { return c.PID() != 0 && c.PID() != old })
			if got := connect(t, c.DSN()).must(t, "SELECT count(*) FROM x"); got != "1000" {
				t.Errorf("got %s rows, want 1000", got)
			}
		})
	}
}

func TestGivesUp(t *testing.T) {
	t.Parallel()
	root := openDir(t, 0)
	c := start(t, root)
	control := filepath.Join(root, "data", "global", "pg_control")
	must(t, os.Rename(control, control+".away"))
	must(t, syscall.Kill(c.PID(), syscall.SIGKILL))
	select {
	case err := <-c.Dead():
		if !strings.Contains(err.Error(), "pg_control") {
			t.Errorf("got %q, want PostgreSQL's reason", err)
		}
	case <-time.After(patience):
		t.Fatal("timed out")
	}
	must(t, c.Stop(t.Context()))
	must(t, os.Rename(control+".away", control))
	start(t, root)
}

// Stop does not wait longer than its context, and the immediate shutdown that
// follows loses nothing.
func TestStopInAHurry(t *testing.T) {
	t.Parallel()
	root := openDir(t, 0)
	c, err := pgserver.Start(t.Context(), durable(t, root))
	must(t, err)
	s := connect(t, c.DSN())
	s.must(t, "CREATE TABLE x AS SELECT generate_series(1, 1000) AS i")
	var backend int
	_, err = fmt.Sscan(s.must(t, "SELECT pg_backend_pid()"), &backend)
	must(t, err)
	must(t, syscall.Kill(backend, syscall.SIGSTOP)) // so that the fast shutdown cannot end

	hurry, cancel := context.WithCancel(t.Context())
	cancel()
	for _, ctx := range []context.Context{hurry, context.Background()} {
		if err := c.Stop(ctx); err == nil || !strings.Contains(err.Error(), "given no more time") {
			t.Errorf("got %v, want that it was given no more time", err)
		}
	}
	c = startDurable(t, root)
	if got := connect(t, c.DSN()).must(t, "SELECT count(*) FROM x"); got != "1000" {
		t.Errorf("got %s rows, want 1000", got)
	}
}

// asOwner starts a program as the user a directory belongs to.
func asOwner(t *testing.T, dir, program string, args ...string) *exec.Cmd {
	t.Helper()
	info, err := os.Stat(dir)
	must(t, err)
	cmd := exec.Command(program, args...)
	cmd.Dir = "/"
	if st := info.Sys().(*syscall.Stat_t); int(st.Uid) != os.Geteuid() {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: st.Uid, Gid: st.Gid}}
	}
	must(t, cmd.Start())
	t.Cleanup(func() { cmd.Process.Signal(syscall.SIGQUIT) })
	return cmd
}

func serverProgram(t *testing.T) string {
	t.Helper()
	found, err := pgserver.Discover(throwaway(t, openDir(t, 0)), 0)
	must(t, err)
	return filepath.Join(found[0].Dir, "postgres")
}
