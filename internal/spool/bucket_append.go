package spool

import (
	"context"
	"errors"
	"io"
	"time"

	"github.com/google/uuid"
	"golang.org/x/sync/semaphore"

	"importer"
)

const (
	// A chunk is held in memory until it is stored. Of a fast upload it is as
	// large as it may become: small enough for many at once, large enough that
	// a request costs little next to its bytes.
	bucketChunk = 4 << 20
	// That of a slow one is stored when its first byte is this old, so that a
	// scan gets on and a machine that dies loses little.
	chunkTime = 5 * time.Second
	// Every upload has this much of its own; more comes out of chunkMemory,
	// which all of them share. When that is used up, chunks stay smaller, and
	// nobody waits for anybody.
	firstBuffer = 64 << 10
	chunkMemory = 64 << 20
)

// Append adds what r yields at offset, in chunks that are safe when they are
// counted.
func (b *Bucket) Append(ctx context.Context, id uuid.UUID, offset int64, r io.Reader) (added int64, err error) {
	f := b.file(id)
	if !f.writer.TryLock() {
		return 0, errBusy
	}
	defer f.writer.Unlock()
	// What has been read is worth storing, also when nobody waits for it.
	lasting := context.WithoutCancel(ctx)
	if err := b.mayAppend(lasting, f, offset); err != nil {
		return 0, err
	}
	buf := &buffer{memory: b.memory, bytes: make([]byte, firstBuffer)}
	defer buf.release()
	for from := (&source{ctx: ctx, r: r}); ; {
		if chunk := buf.fill(from); len(chunk) > 0 {
			// Also to hear that the file was removed on another machine.
			if err := b.look(lasting, f, pollEvery); err != nil {
				return added, err
			}
			if err := b.putChunk(lasting, f, offset+added, chunk); err != nil {
				return added, err
			}
			added += int64(len(chunk))
		}
		switch from.err {
		case nil:
		case io.EOF:
			return added, nil
		default:
			return added, from.err
		}
	}
}

// mayAppend checks that the file goes on at offset. What is known suffices to
// say yes: if another machine was there first, the chunk's condition fails.
func (b *Bucket) mayAppend(ctx context.Context, f *bucketFile, offset int64) error {
	for _, maxAge := range []time.Duration{pollEvery, 0} {
		if err := b.look(ctx, f, maxAge); err != nil {
			return err
		}
		size, sealed := f.extent()
		switch {
		case sealed != notSealed:
			return importer.Errorf(importer.Conflict, "The file of import %s is whole already.", f.id)
		case offset == size:
			return nil
		case maxAge == 0:
			return importer.Errorf(importer.Conflict, "The file of import %s has %d bytes, so it cannot go on at %d.", f.id, size, offset)
		}
	}
	return nil
}

// putChunk makes a chunk safe. When another machine has stored other bytes at
// that offset, the file goes on from there, and not with these.
func (b *Bucket) putChunk(ctx context.Context, f *bucketFile, offset int64, chunk []byte) error {
	ctx, cancel := context.WithTimeout(ctx, b.patience)
	defer cancel()
	err := b.objects.put(ctx, fileKey(f.id, chunkName(offset)), chunk)
	if errors.Is(err, errExists) {
		return importer.Errorf(importer.Conflict, "Another machine has added to the file of import %s; ask how far it is and go on from there.", f.id)
	}
	if err != nil {
		return err
	}
	f.add(offset, int64(len(chunk)))
	f.signal()
	return nil
}

// Seal says that the file is whole.
func (b *Bucket) Seal(ctx context.Context, id uuid.UUID) error {
	f := b.file(id)
	if !f.writer.TryLock() {
		return errBusy
	}
	defer f.writer.Unlock()
	if err := b.look(ctx, f, 0); err != nil {
		return err
	}
	size, sealed := f.extent()
	if sealed == size {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, b.patience)
	defer cancel()
	err := b.objects.put(ctx, fileKey(id, sealedName), []byte(chunkName(size)))
	if errors.Is(err, errExists) {
		return importer.Errorf(importer.Conflict, "The file of import %s is whole already, with another size.", id)
	}
	if err != nil {
		return err
	}
	f.seal(size)
	f.signal()
	return nil
}

// buffer is where a chunk grows.
type buffer struct {
	memory *semaphore.Weighted
	taken  int64 // of memory
	bytes  []byte
}

// fill reads a chunk: until the buffer is full and cannot grow, the source
// ends, or the chunk is old enough.
func (u *buffer) fill(from *source) []byte {
	n := 0
	var began time.Time
	for from.err == nil && (n < len(u.bytes) || u.grow()) {
		n += from.read(u.bytes[n:])
		switch {
		case n == 0:
		case began.IsZero():
			began = time.Now()
		case time.Since(began) >= chunkTime:
			return u.bytes[:n]
		}
	}
	return u.bytes[:n]
}

// grow doubles the buffer, if it may.
func (u *buffer) grow() bool {
	more := int64(len(u.bytes))
	if 2*more > bucketChunk || !u.memory.TryAcquire(more) {
		return false
	}
	u.taken += more
	larger := make([]byte, 2*more)
	copy(larger, u.bytes)
	u.bytes = larger
	return true
}

func (u *buffer) release() { u.memory.Release(u.taken) }
