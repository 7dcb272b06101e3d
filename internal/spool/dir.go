package spool

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/google/uuid"

	"importer"
)

const chunkSize = 8 << 20

// Removed files are renamed to this before they are deleted, so that a crash
// in between leaves no half file under its id.
const removedPrefix = ".removed-"

// Dir is a spool in one directory of this machine. One process uses it at a
// time. A file is a directory named by the import's id:
//
//	<dir>/<uuid>/000000 000001 …   chunks of 8 MiB; only the last is shorter
//	<dir>/<uuid>/sealed            its size in bytes, once the file is whole
//
// A chunk begins when the one before is full and on disk, so after a crash
// the chunks up to the first short one are the file, and their sizes tell how
// much of it is there.
type Dir struct {
	path string

	mu    sync.Mutex
	files map[uuid.UUID]*file // those somebody has asked for since the start
}

// Open makes the directory if need be, readable by its owner only.
func Open(dir string) (*Dir, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the spool: %w", err)
	}
	if err := os.Chmod(dir, 0o700); err != nil {
		return nil, fmt.Errorf("protect the spool: %w", err)
	}
	halves, err := filepath.Glob(filepath.Join(dir, removedPrefix+"*"))
	if err != nil {
		return nil, fmt.Errorf("look for removed files: %w", err)
	}
	for _, half := range halves {
		if err := os.RemoveAll(half); err != nil {
			return nil, fmt.Errorf("finish a removal: %w", err)
		}
	}
	return &Dir{path: dir, files: map[uuid.UUID]*file{}}, nil
}

// Create makes room for a file.
func (d *Dir) Create(_ context.Context, id uuid.UUID) error {
	err := os.Mkdir(d.filePath(id), 0o700)
	if os.IsExist(err) {
		return importer.Errorf(importer.Conflict, "There is a file for import %s already.", id)
	}
	if err != nil {
		return storageError("create", err)
	}
	return syncDir(d.path)
}

// Size is the number of bytes that are safe so far.
func (d *Dir) Size(_ context.Context, id uuid.UUID) (int64, error) {
	f, err := d.file(id)
	if err != nil {
		return 0, err
	}
	return f.diskSize()
}

// Remove deletes the file; readers end with an error.
func (d *Dir) Remove(_ context.Context, id uuid.UUID) error {
	gone := filepath.Join(d.path, removedPrefix+id.String())
	d.mu.Lock()
	f := d.files[id]
	delete(d.files, id)
	err := os.Rename(d.filePath(id), gone)
	d.mu.Unlock()
	if f != nil {
		f.remove()
	}
	if os.IsNotExist(err) {
		return nil
	}
	if err != nil {
		return storageError("remove", err)
	}
	if err := os.RemoveAll(gone); err != nil {
		return storageError("remove", err)
	}
	return nil
}

// List returns the files that are there.
func (d *Dir) List(context.Context) ([]uuid.UUID, error) {
	entries, err := os.ReadDir(d.path)
	if err != nil {
		return nil, storageError("list", err)
	}
	ids := make([]uuid.UUID, 0, len(entries))
	for _, e := range entries {
		id, err := uuid.Parse(e.Name())
		if err == nil && e.IsDir() && !strings.HasPrefix(e.Name(), removedPrefix) {
			ids = append(ids, id)
		}
	}
	return ids, nil
}

// Writable checks that a file could be kept now.
func (d *Dir) Writable(context.Context) error {
	f, err := os.CreateTemp(d.path, removedPrefix+"probe-*")
	if err != nil {
		return storageError("write to", err)
	}
	_, err = f.WriteString("probe")
	if err = errors.Join(err, f.Close(), os.Remove(f.Name())); err != nil {
		return storageError("write to", err)
	}
	return nil
}

func (d *Dir) filePath(id uuid.UUID) string { return filepath.Join(d.path, id.String()) }

// file returns what this process knows about a file that is on disk.
func (d *Dir) file(id uuid.UUID) (*file, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if _, err := os.Stat(d.filePath(id)); err != nil {
		if os.IsNotExist(err) {
			return nil, importer.Errorf(importer.NotFound, "There is no file for import %s.", id)
		}
		return nil, storageError("find", err)
	}
	f := d.files[id]
	if f == nil {
		f = &file{pulse: newPulse(), path: d.filePath(id)}
		d.files[id] = f
	}
	return f, nil
}
