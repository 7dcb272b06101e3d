package pgserver_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"go.uber.org/goleak"

	"importer/internal/pgserver"
)

// patience bounds every wait; reaching it fails the test.
const patience = 60 * time.Second

// helperRoot, when set, makes the test binary a program that runs a cluster
// there until its standard input closes: something that can be killed.
const helperRoot = "PGSERVER_TEST_ROOT"

func TestMain(m *testing.M) {
	if root := os.Getenv(helperRoot); root != "" {
		runHelper(root)
		return
	}
	goleak.VerifyTestMain(m)
}

// helperReport is the helper's first line of output.
type helperReport struct {
	PID     int
	DSN     string
	Created bool
	Err     string
}

func runHelper(root string) {
	c, err := pgserver.Start(context.Background(), pgserver.Options{Root: root, Log: zerolog.New(os.Stderr)})
	report := helperReport{}
	if err != nil {
		report.Err = err.Error()
	} else {
		report = helperReport{PID: c.PID(), DSN: c.DSN(), Created: c.Created()}
	}
	json.NewEncoder(os.Stdout).Encode(report)
	if err != nil {
		return
	}
	io.Copy(io.Discard, os.Stdin)
	if err := c.Stop(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// helper is a process that runs a cluster.
type helper struct {
	helperReport
	cmd   *exec.Cmd
	stdin io.Closer
	log   bytes.Buffer // read it only when the process has ended
}

// startHelper returns when the helper's cluster is ready or has failed.
func startHelper(t *testing.T, uid int, root string, env ...string) *helper {
	t.Helper()
	h, stdout := spawnHelper(t, uid, root, env...)
	if err := json.NewDecoder(stdout).Decode(&h.helperReport); err != nil {
		h.kill()
		t.Fatalf("helper: %v\n%s", err, &h.log)
	}
	return h
}

func spawnHelper(t *testing.T, uid int, root string, env ...string) (*helper, io.Reader) {
	t.Helper()
	program := filepath.Join(openDir(t, 0), "helper") // go test's own directory is closed to others
	self, err := os.Executable()
	must(t, err)
	run(t, "cp", self, program)
	h := &helper{cmd: exec.Command(program)}
	h.cmd.Dir = "/"
	h.cmd.Env = append(append(os.Environ(), helperRoot+"="+root), env...)
	h.cmd.Stderr = &h.log
	h.cmd.WaitDelay = time.Second // an orphan may hold stderr
	if uid != os.Geteuid() {
		h.cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(uid)}}
	}
	h.stdin, err = h.cmd.StdinPipe()
	must(t, err)
	stdout, err := h.cmd.StdoutPipe()
	must(t, err)
	must(t, h.cmd.Start())
	t.Cleanup(h.kill)
	return h, stdout
}

// kill is kill -9.
func (h *helper) kill() {
	h.cmd.Process.Kill()
	h.cmd.Wait()
}

func (h *helper) stop(t *testing.T) {
	t.Helper()
	h.stdin.Close()
	if err := h.cmd.Wait(); err != nil {
		t.Errorf("helper stopped with %v\n%s", err, &h.log)
	}
}

// users are the OS users to run helpers as: this one, and for root an
// unprivileged one, so that both ways of running the server are tested.
func users(t *testing.T) map[string]int {
	t.Helper()
	if os.Geteuid() != 0 {
		return map[string]int{"self": os.Geteuid()}
	}
	return map[string]int{"root": 0, "unprivileged": nobody(t)}
}

func nobody(t *testing.T) int {
	t.Helper()
	u, err := user.Lookup("nobody")
	must(t, err)
	uid, err := strconv.Atoi(u.Uid)
	must(t, err)
	return uid
}

// openDir is a temporary directory that belongs to uid and that every user can
// enter, which t.TempDir's parent is not. uid 0 means: leave it as it is.
func openDir(t *testing.T, uid int) string {
	t.Helper()
	dir := t.TempDir()
	must(t, os.Chmod(filepath.Dir(dir), 0o755))
	must(t, os.Chmod(dir, 0o755))
	if uid != 0 {
		must(t, os.Chown(dir, uid, -1))
	}
	return dir
}

// start runs a throw-away cluster in this process and stops it at the end.
func start(t *testing.T, root string) *pgserver.Cluster {
	t.Helper()
	return startWith(t, throwaway(t, root))
}

// startDurable is start for a test that pulls the plug.
func startDurable(t *testing.T, root string) *pgserver.Cluster {
	t.Helper()
	return startWith(t, durable(t, root))
}

func startWith(t *testing.T, o pgserver.Options) *pgserver.Cluster {
	t.Helper()
	c, err := pgserver.Start(t.Context(), o)
	must(t, err)
	t.Cleanup(func() {
		if err := c.Stop(context.Background()); err != nil {
			t.Errorf("stop: %v", err)
		}
	})
	return c
}

func throwaway(t *testing.T, root string) pgserver.Options {
	o := durable(t, root)
	o.Throwaway = true
	return o
}

func durable(t *testing.T, root string) pgserver.Options {
	return pgserver.Options{Root: root, Log: zerolog.New(zerolog.NewTestWriter(t))}
}

// fakeServer makes a directory of shell scripts that pass for PostgreSQL. A
// child process writes them: a descriptor of ours, still open for writing in a
// fork of another test, would make running them fail with "text file busy".
func fakeServer(t *testing.T, dir, version, initdb string) string {
	t.Helper()
	must(t, os.MkdirAll(dir, 0o755))
	script := func(name, body string) {
		run(t, "sh", "-c", `printf '#!/bin/sh\n%s\n' "$2" > "$1" && chmod 755 "$1"`, "sh", filepath.Join(dir, name), body)
	}
	script("postgres", "echo 'postgres (PostgreSQL) "+version+"'")
	script("initdb", initdb)
	return dir
}

// eventually polls a condition that no signal announces.
func eventually(t *testing.T, what string, condition func() bool) {
	t.Helper()
	deadline := time.Now().Add(patience)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !condition() {
		if time.Now().After(deadline) {
			t.Fatalf("timed out: %s", what)
		}
		<-tick.C
	}
}

func gone(pid int) bool { return errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) }

func unfinished(t *testing.T, root string) []string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(root, "initdb-*"))
	must(t, err)
	return found
}

func run(t *testing.T, name string, args ...string) {
	t.Helper()
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", name, err, out)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
