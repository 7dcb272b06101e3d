package spool

import (
	"context"
	"errors"
	"io"
	"os"
	"sync"
	"time"

	"github.com/google/uuid"

	"importer"
)

// The signal wakes a reader at once; the poll is there for what changes the
// directory without it.
const pollEvery = time.Second

// Open reads a file from the start and follows it while it grows.
func (d *Dir) Open(ctx context.Context, id uuid.UUID) (io.ReadCloser, error) {
	f, err := d.file(id)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	return &tail{ctx: ctx, cancel: cancel, file: f}, nil
}

// tail reads one chunk after the other. Close may be called while Read waits.
type tail struct {
	ctx    context.Context
	cancel context.CancelFunc
	file   *file
	offset int64

	mu    sync.Mutex // for Close beside Read
	chunk *os.File   // the one being read, or nil
}

func (t *tail) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	for {
		if t.ctx.Err() != nil {
			return 0, context.Cause(t.ctx)
		}
		// Both are taken before the look at the data, so that no change slips
		// in between.
		grown, removed := t.file.watch()
		if removed {
			return 0, errRemoved
		}
		size, sealed, err := t.file.seal()
		if err != nil {
			return 0, err
		}
		n, err := t.readChunk(p)
		if n > 0 || err != nil {
			return n, err
		}
		if sealed {
			return 0, t.end(size)
		}
		if err := t.wait(grown); err != nil {
			return 0, err
		}
	}
}

// Close ends a Read that waits.
func (t *tail) Close() error {
	t.cancel()
	t.mu.Lock()
	defer t.mu.Unlock()
	t.closeChunk()
	return nil
}

// readChunk returns 0 and no error at the end of what is there.
func (t *tail) readChunk(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.ctx.Err() != nil {
		return 0, context.Cause(t.ctx)
	}
	at := t.offset % chunkSize
	if t.chunk == nil {
		chunk, err := os.Open(t.file.chunkPath(t.offset / chunkSize))
		if os.IsNotExist(err) {
			return 0, nil
		}
		if err != nil {
			return 0, storageError("open a chunk", err)
		}
		t.chunk = chunk
	}
	n, err := t.chunk.ReadAt(p[:min(int64(len(p)), chunkSize-at)], at)
	t.offset += int64(n)
	if n > 0 && t.offset%chunkSize == 0 {
		t.closeChunk()
	}
	if err != nil && !errors.Is(err, io.EOF) {
		return n, storageError("read a chunk", err)
	}
	return n, nil
}

// end is what a reader gets behind the last byte of a sealed file.
func (t *tail) end(size int64) error {
	if t.offset != size {
		return importer.Errorf(importer.StorageLost,
			"The uploaded file has %d bytes on disk where %d were stored; upload it again.", t.offset, size)
	}
	return io.EOF
}

func (t *tail) wait(grown <-chan struct{}) error {
	poll := time.NewTimer(pollEvery)
	defer poll.Stop()
	select {
	case <-grown:
	case <-t.ctx.Done(): // Read looks at it next
	case <-poll.C:
		if _, err := os.Stat(t.file.path); os.IsNotExist(err) {
			return errRemoved
		}
	}
	return nil
}

func (t *tail) closeChunk() {
	if t.chunk != nil {
		t.chunk.Close()
		t.chunk = nil
	}
}
