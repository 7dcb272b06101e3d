package spool

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/google/uuid"

	"importer"
)

// bucketFile is what one process knows about a file. Objects are never
// changed, so what was seen stays true until the file is removed, and a look
// asks only for what came after.
type bucketFile struct {
	*pulse
	id      uuid.UUID
	writer  sync.Mutex    // held by the one that appends or seals here
	looking chan struct{} // of one place, for the one that looks

	state  sync.Mutex
	starts []int64   // where the chunks begin, in order
	size   int64     // where the last one ends
	sealed int64     // the size the file was sealed with, or notSealed
	looked time.Time // when all of it was seen
	made   time.Time
}

const notSealed = -1

func newBucketFile(id uuid.UUID) *bucketFile {
	return &bucketFile{pulse: newPulse(), id: id, looking: make(chan struct{}, 1), sealed: notSealed, made: time.Now()}
}

// look asks the storage for what is new of a file, unless somebody has asked
// within maxAge. NotFound when there is no such file, or no longer.
func (b *Bucket) look(ctx context.Context, f *bucketFile, maxAge time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, b.patience)
	defer cancel()
	select {
	case f.looking <- struct{}{}:
		defer func() { <-f.looking }()
	case <-ctx.Done():
		return explain("wait for a look", ctx.Err())
	}
	if f.age() < maxAge {
		return nil
	}
	began, before := time.Now(), f.last()
	created, sealed, changed := false, false, false
	err := b.objects.list(ctx, fileKey(f.id, ""), before, func(name string, size int64) {
		switch name {
		case createdName:
			created = true
		case sealedName:
			sealed = true
		default:
			if offset, err := strconv.ParseInt(name, 10, 64); err == nil {
				changed = f.add(offset, size) || changed
			}
		}
	})
	if err != nil {
		return err
	}
	if !created {
		b.forget(f)
		return importer.Errorf(importer.NotFound, "There is no file for import %s.", f.id)
	}
	if _, known := f.extent(); sealed && known == notSealed {
		size, err := b.sealOf(ctx, f.id)
		if err != nil {
			return err
		}
		f.seal(size)
		changed = true
	}
	f.lookedAt(began)
	if changed {
		f.signal()
	}
	return nil
}

// sealOf reads the size a file was sealed with. All sizes are written with as
// many digits, because an object is read whose size is known.
func (b *Bucket) sealOf(ctx context.Context, id uuid.UUID) (int64, error) {
	content := make([]byte, len(chunkName(0)))
	err := b.objects.get(ctx, fileKey(id, sealedName), content)
	if errors.Is(err, errNoObject) {
		return 0, errRemoved
	}
	if err != nil {
		return 0, err
	}
	size, err := strconv.ParseInt(string(content), 10, 64)
	if err != nil {
		return 0, errDamaged
	}
	return size, nil
}

// add notes a chunk that is in the bucket and reports whether it is new. One
// behind a gap is none: what was in between is lost.
func (f *bucketFile) add(offset, size int64) bool {
	f.state.Lock()
	defer f.state.Unlock()
	if offset != f.size || size == 0 {
		return false
	}
	f.starts = append(f.starts, offset)
	f.size += size
	return true
}

func (f *bucketFile) seal(size int64) {
	f.state.Lock()
	defer f.state.Unlock()
	f.sealed = size
}

func (f *bucketFile) lookedAt(t time.Time) {
	f.state.Lock()
	defer f.state.Unlock()
	f.looked = t
}

// extent is how far the file goes, and the size it was sealed with.
func (f *bucketFile) extent() (size, sealed int64) {
	f.state.Lock()
	defer f.state.Unlock()
	return f.size, f.sealed
}

// chunkAt is the size of the chunk that begins at offset, 0 when there is none.
func (f *bucketFile) chunkAt(offset int64) int64 {
	f.state.Lock()
	defer f.state.Unlock()
	i, ok := slices.BinarySearch(f.starts, offset)
	switch {
	case !ok:
		return 0
	case i+1 < len(f.starts):
		return f.starts[i+1] - offset
	}
	return f.size - offset
}

// last is the name of the last chunk that is known, or "".
func (f *bucketFile) last() string {
	f.state.Lock()
	defer f.state.Unlock()
	if len(f.starts) == 0 {
		return ""
	}
	return chunkName(f.starts[len(f.starts)-1])
}

// age is how long ago all of the file was seen.
func (f *bucketFile) age() time.Duration {
	f.state.Lock()
	defer f.state.Unlock()
	return time.Since(f.looked)
}

// isOlderThan reports whether nobody here has made the file or looked at it
// since.
func (f *bucketFile) isOlderThan(t time.Time) bool {
	f.state.Lock()
	defer f.state.Unlock()
	return f.made.Before(t) && f.looked.Before(t)
}
