package spool_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"testing/iotest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"go.uber.org/goleak"

	"importer"
	"importer/internal/spool"
)

const chunk = 8 << 20

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// setup makes a spool with one empty file in it.
func setup(t *testing.T) (*spool.Dir, uuid.UUID, string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "spool")
	d := open(t, path)
	id := uuid.New()
	if err := d.Create(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	return d, id, path
}

func open(t *testing.T, path string) *spool.Dir {
	t.Helper()
	d, err := spool.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func add(t *testing.T, d *spool.Dir, id uuid.UUID, offset int64, content []byte) {
	t.Helper()
	n, err := d.Append(t.Context(), id, offset, bytes.NewReader(content))
	if err != nil || n != int64(len(content)) {
		t.Fatalf("got %d bytes added and %v, want %d", n, err, len(content))
	}
}

func size(t *testing.T, d *spool.Dir, id uuid.UUID) int64 {
	t.Helper()
	n, err := d.Size(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func read(t *testing.T, d *spool.Dir, id uuid.UUID) []byte {
	t.Helper()
	r, err := d.Open(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	content, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return content
}

// noise is content in which every misplaced chunk shows.
func noise(n int) []byte {
	b := make([]byte, n)
	rand.NewChaCha8([32]byte{byte(n)}).Read(b)
	return b
}

func wantCode(t *testing.T, what string, err error, code importer.Code) {
	t.Helper()
	if importer.ErrorCode(err) != code {
		t.Errorf("%s: got %v, want code %s", what, err, code)
	}
}

func TestRoundTrip(t *testing.T) {
	t.Parallel()
	d, id, path := setup(t)
	content := noise(2*chunk + 12_345)
	cuts := []int{0, 1, 100, chunk - 1, chunk, chunk + 1, 2 * chunk, len(content)}
	for i := range len(cuts) - 1 {
		add(t, d, id, int64(cuts[i]), content[cuts[i]:cuts[i+1]])
		if got := size(t, d, id); got != int64(cuts[i+1]) {
			t.Fatalf("got size %d, want %d", got, cuts[i+1])
		}
	}
	if err := d.Seal(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(read(t, d, id), content) {
		t.Error("read other bytes than were added")
	}
	if !bytes.Equal(read(t, open(t, path), id), content) {
		t.Error("read other bytes after a restart")
	}
}

func TestRules(t *testing.T) {
	t.Parallel()
	d, id, path := setup(t)
	ctx := t.Context()
	wantCode(t, "create twice", d.Create(ctx, id), importer.Conflict)
	add(t, d, id, 0, []byte("12345"))
	for _, offset := range []int64{0, 4, 6} {
		n, err := d.Append(ctx, id, offset, bytes.NewReader([]byte("x")))
		wantCode(t, "append elsewhere", err, importer.Conflict)
		if n != 0 {
			t.Errorf("got %d bytes added at offset %d, want none", n, offset)
		}
	}
	if err := d.Seal(ctx, id); err != nil {
		t.Fatal(err)
	}
	if err := d.Seal(ctx, id); err != nil {
		t.Errorf("seal again: %v", err)
	}
	_, err := d.Append(ctx, id, 5, bytes.NewReader([]byte("x")))
	wantCode(t, "append to a sealed file", err, importer.Conflict)
	if got := string(read(t, d, id)); got != "12345" {
		t.Errorf("got %q, want 12345", got)
	}

	other := uuid.New()
	_, err = d.Size(ctx, other)
	wantCode(t, "size of none", err, importer.NotFound)
	_, err = d.Append(ctx, other, 0, bytes.NewReader(nil))
	wantCode(t, "append to none", err, importer.NotFound)
	_, err = d.Open(ctx, other)
	wantCode(t, "open none", err, importer.NotFound)
	wantCode(t, "seal none", d.Seal(ctx, other), importer.NotFound)
	if err := d.Remove(ctx, other); err != nil {
		t.Errorf("remove none: %v", err)
	}

	got, err := d.List(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]uuid.UUID{id}, got); diff != "" {
		t.Errorf("list (-want +got):\n%s", diff)
	}
	if err := d.Remove(ctx, id); err != nil {
		t.Fatal(err)
	}
	if got, _ := d.List(ctx); len(got) != 0 {
		t.Errorf("got %v after the removal, want none", got)
	}
	if err := d.Create(ctx, id); err != nil {
		t.Errorf("create after the removal: %v", err)
	}
	if got := size(t, d, id); got != 0 {
		t.Errorf("got size %d of the new file, want 0", got)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("got mode %v (%v), want 0700", info.Mode(), err)
	}
}

// After a crash the size is what is on disk, and the file goes on from there.
func TestTornFiles(t *testing.T) {
	t.Parallel()
	content := noise(2*chunk + 1000)
	for _, test := range []struct {
		name string
		tear func(dir string) error
		want int64
	}{
		{"whole", func(string) error { return nil }, 2*chunk + 1000},
		{"short last chunk", func(dir string) error { return os.Truncate(filepath.Join(dir, "000002"), 400) }, 2*chunk + 400},
		{"empty last chunk", func(dir string) error { return os.Truncate(filepath.Join(dir, "000002"), 0) }, 2 * chunk},
		{"no last chunk", func(dir string) error { return os.Remove(filepath.Join(dir, "000002")) }, 2 * chunk},
		{"short chunk before the last", func(dir string) error { return os.Truncate(filepath.Join(dir, "000001"), 7) }, chunk + 7},
		{"nothing", func(dir string) error { return os.Remove(filepath.Join(dir, "000000")) }, 0},
		{"half a seal", func(dir string) error { return os.WriteFile(filepath.Join(dir, "sealed.new"), []byte("1"), 0o600) }, 2*chunk + 1000},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			d, id, path := setup(t)
			add(t, d, id, 0, content)
			if err := test.tear(filepath.Join(path, id.String())); err != nil {
				t.Fatal(err)
			}
			d = open(t, path)
			if got := size(t, d, id); got != test.want {
				t.Fatalf("got size %d, want %d", got, test.want)
			}
			add(t, d, id, test.want, content[test.want:])
			if err := d.Seal(t.Context(), id); err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(read(t, d, id), content) {
				t.Error("the file that went on is not the one that was sent")
			}
		})
	}
}

func TestDamageAfterTheSealShows(t *testing.T) {
	t.Parallel()
	d, id, path := setup(t)
	add(t, d, id, 0, noise(1000))
	if err := d.Seal(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(filepath.Join(path, id.String(), "000000"), 900); err != nil {
		t.Fatal(err)
	}
	r, err := d.Open(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	n, err := io.Copy(io.Discard, r)
	wantCode(t, "read", err, importer.StorageLost)
	if n != 900 {
		t.Errorf("got %d bytes before the error, want 900", n)
	}
}

// A process that is killed while it appends leaves what it has synced: at
// least all that Append returned for.
func TestKilledWhileAppending(t *testing.T) {
	t.Parallel()
	if dir := os.Getenv("SPOOL_TEST_KILL"); dir != "" {
		appendUntilKilled(t, dir)
	}
	dir := t.TempDir()
	child := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestKilledWhileAppending$")
	child.Env = append(os.Environ(), "SPOOL_TEST_KILL="+dir)
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	// Each byte says that one more part has been appended.
	const parts = 9
	if _, err := io.ReadFull(out, make([]byte, parts)); err != nil {
		t.Fatal(err)
	}
	child.Process.Kill()
	child.Wait()

	d := open(t, dir)
	ids, err := d.List(t.Context())
	if err != nil || len(ids) != 1 {
		t.Fatalf("got files %v (%v), want one", ids, err)
	}
	got := size(t, d, ids[0])
	if got < parts*killPart {
		t.Fatalf("got size %d, want at least the %d that were promised", got, parts*killPart)
	}
	if err := d.Seal(t.Context(), ids[0]); err != nil {
		t.Fatal(err)
	}
	content := read(t, d, ids[0])
	if want := bytes.Repeat(noise(killPart), len(content)/killPart+1)[:got]; !bytes.Equal(content, want) {
		t.Error("the file has other bytes than were appended")
	}
}

const killPart = 1_000_000

func appendUntilKilled(t *testing.T, dir string) {
	d := open(t, dir)
	id := uuid.New()
	if err := d.Create(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	for offset := int64(0); ; offset += killPart {
		add(t, d, id, offset, noise(killPart))
		os.Stdout.Write([]byte("."))
	}
}

func TestReaderFollowsTheWriter(t *testing.T) {
	t.Parallel()
	d, id, _ := setup(t)
	content := noise(chunk + 3_000_000)
	var readers sync.WaitGroup
	for i := range 3 {
		r, err := d.Open(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		readers.Go(func() {
			defer r.Close()
			sum := sha256.New()
			n, err := io.CopyBuffer(struct{ io.Writer }{sum}, r, make([]byte, 1000*(i+1)))
			if err != nil || n != int64(len(content)) || [32]byte(sum.Sum(nil)) != sha256.Sum256(content) {
				t.Errorf("reader %d: got %d bytes and %v, want the %d that were sent", i, n, err, len(content))
			}
		})
	}
	for at := 0; at < len(content); {
		next := min(len(content), at+1+rand.IntN(2_000_000))
		add(t, d, id, int64(at), content[at:next])
		at = next
	}
	if err := d.Seal(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	readers.Wait()
}

// What is appended is readable before Append returns: a scan overlaps the
// upload.
func TestReaderSeesBytesBeforeTheEndOfAppend(t *testing.T) {
	t.Parallel()
	d, id, _ := setup(t)
	r, err := d.Open(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	in, out := io.Pipe()
	done := make(chan error, 1)
	go func() {
		_, err := d.Append(t.Context(), id, 0, in)
		done <- err
	}()
	for _, word := range []string{"sku,", "name\n"} {
		out.Write([]byte(word))
		got := make([]byte, len(word))
		if _, err := io.ReadFull(r, got); err != nil || string(got) != word {
			t.Fatalf("got %q (%v), want %q", got, err, word)
		}
	}
	out.Close()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

func TestSecondAppendIsRefused(t *testing.T) {
	t.Parallel()
	d, id, _ := setup(t)
	in, out := io.Pipe()
	done := make(chan error, 1)
	go func() {
		_, err := d.Append(t.Context(), id, 0, in)
		done <- err
	}()
	out.Write([]byte("first")) // it is at work now
	_, err := d.Append(t.Context(), id, 0, bytes.NewReader([]byte("second")))
	wantCode(t, "second append", err, importer.Conflict)
	wantCode(t, "seal meanwhile", d.Seal(t.Context(), id), importer.Conflict)
	out.Close()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if err := d.Seal(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	if got := string(read(t, d, id)); got != "first" {
		t.Errorf("got %q, want first", got)
	}
}

func TestAppendKeepsWhatCameBeforeAnError(t *testing.T) {
	t.Parallel()
	d, id, _ := setup(t)
	broken := errors.New("connection reset")
	n, err := d.Append(t.Context(), id, 0, io.MultiReader(bytes.NewReader([]byte("half")), iotest.ErrReader(broken)))
	if n != 4 || !errors.Is(err, broken) {
		t.Errorf("got %d bytes and %v, want 4 and the reader's error", n, err)
	}
	if got := size(t, d, id); got != 4 {
		t.Errorf("got size %d, want 4", got)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if n, err := d.Append(ctx, id, 4, bytes.NewReader([]byte("x"))); n != 0 || !errors.Is(err, context.Canceled) {
		t.Errorf("got %d bytes and %v, want none after the context's end", n, err)
	}
}

func TestWaitingReaderEnds(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name string
		end  func(d *spool.Dir, id uuid.UUID, path string, r io.Closer, cancel func()) error
		ok   func(error) bool
	}{
		{"with its context", func(_ *spool.Dir, _ uuid.UUID, _ string, _ io.Closer, cancel func()) error { cancel(); return nil },
			func(err error) bool { return errors.Is(err, context.Canceled) }},
		{"when it is closed", func(_ *spool.Dir, _ uuid.UUID, _ string, r io.Closer, _ func()) error { return r.Close() },
			func(err error) bool { return errors.Is(err, context.Canceled) }},
		{"when the file is removed", func(d *spool.Dir, id uuid.UUID, _ string, _ io.Closer, _ func()) error {
			return d.Remove(context.Background(), id)
		},
			func(err error) bool { return importer.ErrorCode(err) == importer.StorageLost }},
		{"when another process removes the file", func(_ *spool.Dir, id uuid.UUID, path string, _ io.Closer, _ func()) error {
			return os.RemoveAll(filepath.Join(path, id.String()))
		}, func(err error) bool { return importer.ErrorCode(err) == importer.StorageLost }},
		{"when another process seals the file", func(_ *spool.Dir, id uuid.UUID, path string, _ io.Closer, _ func()) error {
			d, err := spool.Open(path)
			if err != nil {
				return err
			}
			return d.Seal(context.Background(), id)
		}, func(err error) bool { return err == io.EOF }},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			d, id, path := setup(t)
			add(t, d, id, 0, []byte("abc"))
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			r, err := d.Open(ctx, id)
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close()
			if _, err := io.ReadFull(r, make([]byte, 3)); err != nil {
				t.Fatal(err)
			}
			ended := make(chan error, 1)
			go func() {
				_, err := r.Read(make([]byte, 1))
				ended <- err
			}()
			if err := test.end(d, id, path, r, cancel); err != nil {
				t.Fatal(err)
			}
			select {
			case err := <-ended:
				if !test.ok(err) {
					t.Errorf("got %v", err)
				}
			case <-time.After(10 * time.Second):
				t.Fatal("the reader waits for ever")
			}
		})
	}
}

// A crash between the two steps of a removal leaves nothing in the way.
func TestHalfRemovedFileIsGone(t *testing.T) {
	t.Parallel()
	d, id, path := setup(t)
	add(t, d, id, 0, []byte("abc"))
	if err := os.Rename(filepath.Join(path, id.String()), filepath.Join(path, ".removed-"+id.String())); err != nil {
		t.Fatal(err)
	}
	d = open(t, path)
	if got, err := d.List(t.Context()); err != nil || len(got) != 0 {
		t.Errorf("got files %v (%v), want none", got, err)
	}
	if entries, _ := os.ReadDir(path); len(entries) != 0 {
		t.Errorf("got %v left on disk, want nothing", entries)
	}
}

// A file system of 1 MiB, in a mount namespace of a child process.
func TestFullDisk(t *testing.T) {
	t.Parallel()
	dir := os.Getenv("SPOOL_TEST_FULL")
	if dir == "" {
		child := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestFullDisk$", "-test.v")
		child.Env = append(os.Environ(), "SPOOL_TEST_FULL="+t.TempDir())
		child.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS}
		if os.Getuid() != 0 {
			child.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
			child.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}}
			child.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}}
		}
		if out, err := child.CombinedOutput(); err != nil || !bytes.Contains(out, []byte("--- PASS: TestFullDisk")) {
			t.Fatalf("in the child: %v\n%s", err, out)
		}
		return
	}
	if err := syscall.Mount("", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, ""); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("none", dir, "tmpfs", 0, "size=1m"); err != nil {
		t.Fatal(err)
	}
	d := open(t, filepath.Join(dir, "spool"))
	id := uuid.New()
	if err := d.Create(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	content := noise(3 << 20)
	n, err := d.Append(t.Context(), id, 0, bytes.NewReader(content))
	wantCode(t, "append", err, importer.StorageFull)
	if got := size(t, d, id); n == 0 || got != n {
		t.Errorf("got %d bytes added and size %d, want the same and not 0", n, got)
	}
	_, err = d.Append(t.Context(), id, n, bytes.NewReader(content[n:]))
	wantCode(t, "append to the full disk", err, importer.StorageFull)
	if err := d.Remove(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	if err := d.Create(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	add(t, d, id, 0, content[:n/2]) // the space is back
	if !bytes.Equal(content[:n/2], readPart(t, d, id, n/2)) {
		t.Error("read other bytes than were added")
	}
}

func readPart(t *testing.T, d *spool.Dir, id uuid.UUID, n int64) []byte {
	t.Helper()
	r, err := d.Open(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	b := make([]byte, n)
	if _, err := io.ReadFull(r, b); err != nil {
		t.Fatal(err)
	}
	return b
}

func BenchmarkAppend(b *testing.B) {
	d, err := spool.Open(b.TempDir())
	if err != nil {
		b.Fatal(err)
	}
	content := noise(64 << 20)
	b.SetBytes(int64(len(content)))
	b.ReportAllocs()
	for b.Loop() {
		id := uuid.New()
		if err := d.Create(b.Context(), id); err != nil {
			b.Fatal(err)
		}
		if _, err := d.Append(b.Context(), id, 0, bytes.NewReader(content)); err != nil {
			b.Fatal(err)
		}
		if err := d.Remove(b.Context(), id); err != nil {
			b.Fatal(err)
		}
	}
}
