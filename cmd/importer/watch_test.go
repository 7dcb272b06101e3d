package main

import (
	"bufio"
	"encoding/json"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"importer"
	"importer/db/dbtest"
	"importer/internal/sample"
)

func TestWatchCommand(t *testing.T) {
	t.Parallel()
	p := serveProcess(t, []string{"DATABASE_URL=" + dbtest.URL(t)}, "--data-dir", t.TempDir())
	imported := func(name, content string) string {
		im := post(t, p, name, []byte(content))
		return watchUntil(t, p, im.ID, func(im importer.Import) bool { return im.State.Ended() }).ID.String()
	}
	good := imported("good.csv", "sku,name\nA-1,One\n")
	some := imported("some.csv", "sku,name\nA-1,One\n,No SKU\n")
	bad := imported("bad.csv", "colour,size\nred,1\n")

	for _, c := range []struct {
		args []string
		code int
		says string
		last importer.State
	}{
		{[]string{good}, 0, "", importer.Completed},
		{[]string{some}, 0, "", importer.Completed},
		{[]string{"--strict", some}, exitRejects, "1 rows were rejected", importer.Completed},
		{[]string{bad}, exitFailed, "colour", importer.Failed},
		{[]string{uuid.NewString()}, exitFailed, "no such import", ""},
		{[]string{"nonsense"}, exitUsage, `"nonsense" is no import's ID`, ""},
		{[]string{good, bad}, exitUsage, "one import or all", ""},
		{[]string{"--server", "nowhere", good}, exitUsage, "http://127.0.0.1:8080", ""},
		{[]string{"--server", "http://127.0.0.1:1", good}, exitFailed, "cannot be reached", ""},
		{[]string{"--server", "http://127.0.0.1:1"}, exitFailed, "cannot be reached", ""},
	} {
		code, stdout, stderr := runProgram(t, []string{"IMPORTER_SERVER=" + p.url}, append([]string{"watch"}, c.args...)...)
		if code != c.code || !strings.Contains(stderr, c.says) {
			t.Errorf("watch %v: exit code %d, %q, want %d, %q", c.args, code, stderr, c.code, c.says)
		}
		var im importer.Import
		if err := json.Unmarshal([]byte(tail(stdout, 1)), &im); c.last != "" && (err != nil || im.State != c.last) {
			t.Errorf("watch %v: the last line %q is no import that is %s (%v)", c.args, tail(stdout, 1), c.last, err)
		}
	}
}

// An import that runs is followed to its end, through a restart of the server.
func TestWatchCommandFollowsThroughARestart(t *testing.T) {
	t.Parallel()
	env, dir := []string{"DATABASE_URL=" + dbtest.URL(t)}, t.TempDir()
	p := serveProcess(t, env, "--data-dir", dir)
	file, want := writeCatalogue(t, sample.Options{Rows: 150_000, Seed: 4})
	id := upload(t, p, file)
	w := watchProcess(t, p, id.String())
	w.until(t, "rows are written", func(im importer.Import) bool { return im.Progress.RowsDone > 0 })
	if err := p.stop(); err != nil {
		t.Error(err)
	}
	serveProcess(t, env, "--data-dir", dir, "--addr", strings.TrimPrefix(p.url, "http://"))
	percent := 0.0
	last := w.until(t, "the import has ended", func(im importer.Import) bool {
		if im.Progress.Percent < percent {
			t.Errorf("from %v back to %v %%", percent, im.Progress.Percent)
		}
		percent = im.Progress.Percent
		return im.State.Ended()
	})
	checkCounts(t, last, want)
	if code := w.wait(t); code != 0 {
		t.Errorf("exit code %d: %s", code, w.stderr)
	}
}

func TestWatchCommandListsImports(t *testing.T) {
	t.Parallel()
	p := serveProcess(t, []string{"DATABASE_URL=" + dbtest.URL(t)}, "--data-dir", t.TempDir())
	for _, name := range []string{"first.csv", "second.csv"} {
		im := post(t, p, name, []byte("sku,name\nA-1,One\n"))
		watchUntil(t, p, im.ID, func(im importer.Import) bool { return im.State.Ended() })
	}
	w := watchProcess(t, p)
	var heard []string
	listen := func(im importer.Import) bool {
		heard = append(heard, im.Filename+" "+string(im.State))
		return im.Filename == "second.csv" || im.State.Ended() && im.Filename == "third.csv"
	}
	w.until(t, "the second import is listed", listen)
	post(t, p, "third.csv", []byte("sku,name\nA-1,One\n"))
	w.until(t, "the third import has ended", listen)
	want := []string{"first.csv completed", "second.csv completed", "third.csv uploading", "third.csv queued", "third.csv scanning", "third.csv writing", "third.csv completed"}
	if diff := cmp.Diff(want, heard); diff != "" {
		t.Errorf("listed (-want +got):\n%s", diff)
	}

	// Ctrl-C ends it without a word.
	_ = w.cmd.Process.Signal(os.Interrupt)
	if code := w.wait(t); code != exitInterrupted || w.stderr.String() != "" {
		t.Errorf("exit code %d and %q, want 130 and nothing", code, w.stderr)
	}
}

// Ctrl-C leaves the import alone.
func TestWatchCommandInterrupted(t *testing.T) {
	t.Parallel()
	p := serveProcess(t, []string{"DATABASE_URL=" + dbtest.URL(t)}, "--data-dir", t.TempDir())
	file, want := writeCatalogue(t, sample.Options{Rows: 150_000, Seed: 5})
	id := upload(t, p, file)
	w := watchProcess(t, p, id.String())
	w.until(t, "it is heard of", func(importer.Import) bool { return true })
	_ = w.cmd.Process.Signal(os.Interrupt)
	if code := w.wait(t); code != exitInterrupted || w.stderr.String() != "" {
		t.Errorf("exit code %d and %q, want 130 and nothing", code, w.stderr)
	}
	checkCounts(t, watchUntil(t, p, id, func(im importer.Import) bool { return im.State.Ended() }), want)
}

func TestListLine(t *testing.T) {
	t.Parallel()
	im := importer.Import{ID: uuid.MustParse("0198c0de-0000-7000-8000-000000000001"), Filename: "a.csv", State: importer.Failed,
		CreatedAt: time.Date(2026, 1, 2, 3, 4, 5, 0, time.Local), Progress: importer.Progress{Percent: 12.34},
		Error: &importer.ImportError{Message: "There is no column for the SKU."}}
	if got, want := listLine(im), "2026-01-02 03:04:05  0198c0de-0000-7000-8000-000000000001  failed      12.3 %  a.csv: There is no column for the SKU."; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// watching is a running `importer watch` whose lines are read.
type watching struct {
	cmd    *exec.Cmd
	lines  *bufio.Scanner
	stderr *lockedBuffer
}

func watchProcess(t *testing.T, p *process, args ...string) *watching {
	t.Helper()
	w := &watching{cmd: program(nil, append([]string{"watch", "--server", p.url}, args...)...), stderr: &lockedBuffer{}}
	w.cmd.Stderr = w.stderr
	out, err := w.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := w.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	// A program that hangs would hang the test as well.
	watchdog := time.AfterFunc(patience, func() { _ = w.cmd.Process.Kill() })
	t.Cleanup(func() {
		watchdog.Stop()
		_ = w.cmd.Process.Kill()
	})
	w.lines = bufio.NewScanner(out)
	w.lines.Buffer(nil, 1<<20)
	return w
}

// until reads imports until one is as wanted.
func (w *watching) until(t *testing.T, what string, wanted func(importer.Import) bool) (im importer.Import) {
	t.Helper()
	for w.lines.Scan() {
		im = importer.Import{}
		if err := json.Unmarshal(w.lines.Bytes(), &im); err != nil {
			t.Fatalf("%q: %v", w.lines.Text(), err)
		}
		if wanted(im) {
			return im
		}
	}
	t.Fatalf("watch ended before %s: %v\n%s", what, w.lines.Err(), w.stderr)
	return im
}

func (w *watching) wait(t *testing.T) (code int) {
	t.Helper()
	for w.lines.Scan() { // to the end: Wait closes the pipe
	}
	if err := w.cmd.Wait(); err != nil && w.cmd.ProcessState == nil {
		t.Fatal(err)
	}
	return w.cmd.ProcessState.ExitCode()
}
