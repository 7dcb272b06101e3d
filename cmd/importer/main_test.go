package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"importer/client"
	"importer/db/dbtest"
)

// The tests run the program as its users do: as a process of its own. The
// test binary is that program when this variable is set.
const beTheProgram = "IMPORTER_TEST_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(beTheProgram) != "" {
		main()
		return
	}
	dbtest.Main(m)
}

// patience bounds every wait: it is long because a loaded machine is no
// failure, and short enough to tell where a test hangs.
const patience = 90 * time.Second

// process is a running importer.
type process struct {
	t      testing.TB
	cmd    *exec.Cmd
	url    string
	client *client.Client
	log    *lockedBuffer
	exited chan error
	once   sync.Once
}

// program prepares a command that runs importer with these arguments and, of
// the environment, nothing that could reach a real database.
func program(env []string, args ...string) *exec.Cmd {
	exe, err := os.Executable()
	if err != nil {
		panic(err)
	}
	cmd := exec.Command(exe, args...)
	for _, kv := range os.Environ() {
		if !strings.HasPrefix(kv, "PG") && !strings.Contains(kv, "DATABASE_URL=") && !strings.HasPrefix(kv, "IMPORTER_") &&
			!strings.HasPrefix(kv, "AWS_") && !strings.HasPrefix(kv, "BUCKET_") {
			cmd.Env = append(cmd.Env, kv)
		}
	}
	cmd.Env = append(cmd.Env, beTheProgram+"=1", "IMPORTER_LOG_LEVEL=debug")
	for _, kv := range env {
		cmd.Env = append(cmd.Env, withPassword(kv))
	}
	return cmd
}

// serveProcess starts a server on a free port and waits until it is ready.
func serveProcess(t testing.TB, env []string, args ...string) *process {
	t.Helper()
	p := &process{t: t, log: &lockedBuffer{}, exited: make(chan error, 1)}
	p.cmd = program(env, append([]string{"serve", "--addr", "127.0.0.1:0"}, args...)...)
	p.cmd.Stderr = p.log
	stdout, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ready := make(chan string, 1)
	go func() {
		lines := bufio.NewScanner(stdout)
		for lines.Scan() {
			fmt.Fprintln(p.log, lines.Text())
			if _, url, ok := strings.Cut(lines.Text(), "is ready: "); ok {
				ready <- url
			}
		}
		p.exited <- p.cmd.Wait()
		close(p.exited)
	}()
	t.Cleanup(func() {
		p.stop()
		discreet(t, p.log.String())
		if t.Failed() {
			t.Logf("the server said:\n%s", tail(p.log.String(), 60))
		}
	})
	select {
	case p.url = <-ready:
	case err := <-p.exited:
		t.Fatalf("the server ended before it was ready: %v\n%s", err, p.log)
	case <-time.After(patience):
		t.Fatalf("the server was not ready in time\n%s", p.log)
	}
	if p.client, err = client.New(client.Options{Server: p.url}); err != nil {
		t.Fatal(err)
	}
	return p
}

// stop ends the server in good order.
func (p *process) stop() error { return p.end(syscall.SIGTERM) }

// kill ends it as a power cut would.
func (p *process) kill() { _ = p.end(syscall.SIGKILL) }

func (p *process) end(sig syscall.Signal) (err error) {
	p.once.Do(func() {
		_ = p.cmd.Process.Signal(sig)
		select {
		case err = <-p.exited:
		case <-time.After(patience):
			_ = p.cmd.Process.Kill()
			p.t.Errorf("the server did not end on %v", sig)
		}
	})
	return err
}

// runProgram runs a command to its end and returns its exit code and output.
func runProgram(t *testing.T, env []string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cmd := program(env, args...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer context.AfterFunc(ctx, func() { _ = cmd.Process.Kill() })()
	if err := cmd.Wait(); err != nil && cmd.ProcessState == nil {
		t.Fatal(err)
	}
	discreet(t, out.String()+errs.String())
	return cmd.ProcessState.ExitCode(), out.String(), errs.String()
}

// dataDir is a directory that also the account Postgres runs under may enter.
func dataDir(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for d := dir; d != filepath.Dir(os.TempDir()) && d != "/"; d = filepath.Dir(d) {
		if d != os.TempDir() {
			if err := os.Chmod(d, 0o755); err != nil {
				t.Fatal(err)
			}
		}
	}
	return dir
}

// eventually waits until ok returns true; it asks often, so that a test is as
// fast as what it waits for.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	deadline := time.After(patience)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("waited in vain until %s", what)
		}
	}
}

func tail(s string, lines int) string {
	all := strings.Split(strings.TrimRight(s, "\n"), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}

// lockedBuffer collects what several goroutines write.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}
