package spool_test

import (
	"bytes"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/google/uuid"

	"importer"
	"importer/internal/spool"
)

// setupDir makes a spool on disk with one empty file in it.
func setupDir(t *testing.T) (*spool.Dir, uuid.UUID, string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "spool")
	d := openDir(t, path)
	id := uuid.New()
	if err := d.Create(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	return d, id, path
}

func openDir(t *testing.T, path string) *spool.Dir {
	t.Helper()
	d, err := spool.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestOnlyTheOwnerMayLook(t *testing.T) {
	t.Parallel()
	_, _, path := setupDir(t)
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
			d, id, path := setupDir(t)
			add(t, d, id, 0, content)
			if err := test.tear(filepath.Join(path, id.String())); err != nil {
				t.Fatal(err)
			}
			d = openDir(t, path)
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
	d, id, path := setupDir(t)
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

	d := openDir(t, dir)
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
	d := openDir(t, dir)
	id := uuid.New()
	if err := d.Create(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	for offset := int64(0); ; offset += killPart {
		add(t, d, id, offset, noise(killPart))
		os.Stdout.Write([]byte("."))
	}
}

// A crash between the two steps of a removal leaves nothing in the way.
func TestHalfRemovedFileIsGone(t *testing.T) {
	t.Parallel()
	d, id, path := setupDir(t)
	add(t, d, id, 0, []byte("abc"))
	if err := os.Rename(filepath.Join(path, id.String()), filepath.Join(path, ".removed-"+id.String())); err != nil {
		t.Fatal(err)
	}
	d = openDir(t, path)
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
	d := openDir(t, filepath.Join(dir, "spool"))
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
