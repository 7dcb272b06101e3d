package disk_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"importer/internal/disk"
)

func TestRoom(t *testing.T) {
	t.Parallel()
	room, err := disk.Room(t.TempDir())
	if err != nil || room.Total == 0 || room.Free > room.Total {
		t.Errorf("got %+v, %v", room, err)
	}
	if _, err := disk.Room(filepath.Join(t.TempDir(), "missing")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a directory that is missing: got %v", err)
	}
}

func TestSync(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if took, err := disk.Sync(dir); err != nil || took <= 0 {
		t.Errorf("got %v, %v", took, err)
	}
	left, err := os.ReadDir(dir)
	if err != nil || len(left) != 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
	if _, err := disk.Sync(filepath.Join(dir, "missing")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a directory that is missing: got %v", err)
	}
}
