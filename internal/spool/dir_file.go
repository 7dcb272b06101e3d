package spool

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"

	"github.com/google/uuid"

	"importer"
)

// Large enough that a write costs little next to the copy, small enough that
// many uploads at once cost little memory.
const bufferSize = 128 << 10

const sealName = "sealed"

// file is what one process shares about a file: who appends, and the signal
// for those who read its end.
type file struct {
	*pulse
	path   string
	writer sync.Mutex // held by the one that appends or seals
}

// Append adds what r yields at offset. Each chunk is synced when it is full,
// and the last one at the end.
func (d *Dir) Append(ctx context.Context, id uuid.UUID, offset int64, r io.Reader) (int64, error) {
	f, err := d.file(id)
	if err != nil {
		return 0, err
	}
	if !f.writer.TryLock() {
		return 0, errBusy
	}
	defer f.writer.Unlock()
	if _, sealed, err := f.seal(); err != nil {
		return 0, err
	} else if sealed {
		return 0, importer.Errorf(importer.Conflict, "The file of import %s is whole already.", id)
	}
	size, err := f.diskSize()
	if err != nil {
		return 0, err
	}
	if offset != size {
		return 0, importer.Errorf(importer.Conflict, "The file of import %s has %d bytes, so it cannot go on at %d.", id, size, offset)
	}
	source := &source{ctx: ctx, r: r}
	buf := make([]byte, bufferSize)
	for added := int64(0); ; {
		n, err := f.appendChunk(size+added, source, buf)
		added += n
		switch {
		case err != nil:
			return added, err
		case source.err == io.EOF:
			return added, nil
		case source.err != nil:
			return added, source.err
		}
	}
}

// Seal says that the file is whole.
func (d *Dir) Seal(_ context.Context, id uuid.UUID) error {
	f, err := d.file(id)
	if err != nil {
		return err
	}
	if !f.writer.TryLock() {
		return errBusy
	}
	defer f.writer.Unlock()
	size, err := f.diskSize()
	if err != nil {
		return err
	}
	if err := f.writeSeal(size); err != nil {
		return storageError("seal", err)
	}
	f.signal()
	return nil
}

// appendChunk fills the chunk at offset until it is full or the source ends,
// and returns how many bytes of it are safe.
func (f *file) appendChunk(offset int64, from *source, buf []byte) (int64, error) {
	number, at := offset/chunkSize, offset%chunkSize
	flags := os.O_WRONLY
	if at == 0 {
		flags |= os.O_CREATE | os.O_TRUNC
	}
	chunk, err := os.OpenFile(f.chunkPath(number), flags, 0o600)
	if err != nil {
		return 0, storageError("open a chunk", err)
	}
	defer chunk.Close()
	if at == 0 {
		if err := syncDir(f.path); err != nil {
			return 0, err
		}
	}
	var added int64
	var failed error
	for from.err == nil && failed == nil && at+added < chunkSize {
		n := from.read(buf[:min(bufferSize, chunkSize-at-added)])
		n, failed = chunk.WriteAt(buf[:n], at+added)
		if n > 0 {
			added += int64(n)
			f.signal()
		}
	}
	if err := chunk.Sync(); err != nil {
		// What could not be synced was never promised: take it back.
		return 0, storageError("sync a chunk", errors.Join(err, chunk.Truncate(at)))
	}
	if failed != nil {
		return added, storageError("write a chunk", failed)
	}
	return added, nil
}

// diskSize adds up the chunks that are there, up to the first short one.
func (f *file) diskSize() (int64, error) {
	for number := int64(0); ; number++ {
		info, err := os.Stat(f.chunkPath(number))
		if os.IsNotExist(err) {
			return number * chunkSize, nil
		}
		if err != nil {
			return 0, storageError("measure", err)
		}
		if info.Size() < chunkSize {
			return number*chunkSize + info.Size(), nil
		}
	}
}

// writeSeal puts the marker there as a whole or not at all. The chunks are
// synced by then.
func (f *file) writeSeal(size int64) error {
	draft := filepath.Join(f.path, sealName+".new")
	marker, err := os.OpenFile(draft, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = marker.WriteString(strconv.FormatInt(size, 10))
	if err := errors.Join(err, marker.Sync(), marker.Close()); err != nil {
		return err
	}
	if err := os.Rename(draft, filepath.Join(f.path, sealName)); err != nil {
		return err
	}
	return syncDir(f.path)
}

// seal returns the size the file was sealed with.
func (f *file) seal() (size int64, sealed bool, err error) {
	b, err := os.ReadFile(filepath.Join(f.path, sealName))
	if os.IsNotExist(err) {
		return 0, false, nil
	}
	if err != nil {
		return 0, false, storageError("read the seal", err)
	}
	size, err = strconv.ParseInt(string(b), 10, 64)
	if err != nil {
		return 0, false, &importer.Error{Code: importer.StorageLost, Message: "The uploaded file is damaged on disk; upload it again.", Err: err}
	}
	return size, true, nil
}

func (f *file) chunkPath(number int64) string {
	return filepath.Join(f.path, fmt.Sprintf("%06d", number))
}

// storageError keeps a full disk apart from other failures. EFBIG is a limit
// on file sizes: to the one who uploads it is the same.
func storageError(step string, err error) error {
	for _, full := range []error{syscall.ENOSPC, syscall.EDQUOT, syscall.EFBIG} {
		if errors.Is(err, full) {
			return &importer.Error{
				Code:    importer.StorageFull,
				Message: "The server's disk is full, so the file could not be stored. Free some space there and upload it again.",
				Err:     fmt.Errorf("%s: %w", step, err),
			}
		}
	}
	return fmt.Errorf("spool: %s: %w", step, err)
}

// syncDir makes names in a directory survive a crash.
func syncDir(path string) error {
	dir, err := os.Open(path)
	if err != nil {
		return storageError("open a directory", err)
	}
	defer dir.Close()
	if err := dir.Sync(); err != nil {
		return storageError("sync a directory", err)
	}
	return nil
}
