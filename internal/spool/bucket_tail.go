package spool

import (
	"context"
	"errors"
	"io"
	"time"

	"github.com/google/uuid"

	"importer"
)

// Open reads a file from the start and follows it while it grows, here or on
// another machine.
func (b *Bucket) Open(ctx context.Context, id uuid.UUID) (io.ReadCloser, error) {
	f := b.file(id)
	if err := b.look(ctx, f, pollEvery); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	return &bucketTail{ctx: ctx, cancel: cancel, bucket: b, file: f}, nil
}

// bucketTail reads one chunk after the other and holds one of them in memory:
// so it can be fetched again when the way breaks, and is compared with its
// digest before anybody sees it. Close may be called while Read waits.
type bucketTail struct {
	ctx    context.Context
	cancel context.CancelFunc
	bucket *Bucket
	file   *bucketFile

	next   int64  // offset of the chunk behind this one
	memory []byte // that chunks take turns in
	chunk  []byte // what is left of this one
}

func (t *bucketTail) Read(p []byte) (int, error) {
	for {
		if t.ctx.Err() != nil {
			return 0, context.Cause(t.ctx)
		}
		if len(p) == 0 {
			return 0, nil
		}
		// Taken before the look at what is known, so that no change slips in
		// between.
		grown, removed := t.file.watch()
		if removed {
			return 0, errRemoved
		}
		if n := copy(p, t.chunk); n > 0 {
			t.chunk = t.chunk[n:]
			return n, nil
		}
		size, sealed := t.file.extent()
		var err error
		switch {
		case t.next < size:
			err = t.fetch()
		case sealed == t.next:
			return 0, io.EOF
		case sealed != notSealed:
			return 0, importer.Errorf(importer.StorageLost,
				"The uploaded file has %d bytes in the object storage where %d were stored; upload it again.", t.next, sealed)
		default:
			err = t.wait(grown)
		}
		switch {
		case err == nil:
		case sealed == notSealed && importer.ErrorCode(err) == importer.Unavailable && t.ctx.Err() == nil:
			// The upload waits for the storage as well and may go on when it is
			// back. It would be lost with its import.
			t.pause()
		default:
			return 0, t.why(err)
		}
	}
}

// Close ends a Read that waits.
func (t *bucketTail) Close() error {
	t.cancel()
	return nil
}

// fetch gets the next chunk.
func (t *bucketTail) fetch() error {
	ctx, cancel := context.WithTimeout(t.ctx, t.bucket.patience)
	defer cancel()
	size := t.file.chunkAt(t.next)
	if int64(cap(t.memory)) < size {
		t.memory = make([]byte, size)
	}
	chunk := t.memory[:size]
	if err := t.bucket.objects.get(ctx, fileKey(t.file.id, chunkName(t.next)), chunk); err != nil {
		return err
	}
	t.chunk = chunk
	t.next += size
	return nil
}

// wait ends with the next change. One that is made elsewhere is found by
// looking.
func (t *bucketTail) wait(grown <-chan struct{}) error {
	poll := time.NewTimer(pollEvery)
	defer poll.Stop()
	select {
	case <-grown:
	case <-t.ctx.Done(): // Read looks at it next
	case <-poll.C:
		return t.bucket.look(t.ctx, t.file, pollEvery)
	}
	return nil
}

func (t *bucketTail) pause() {
	select {
	case <-time.After(pollEvery):
	case <-t.ctx.Done(): // Read looks at it next
	}
}

// why is what a reader gets to hear of an error.
func (t *bucketTail) why(err error) error {
	switch {
	case t.ctx.Err() != nil:
		return context.Cause(t.ctx)
	case errors.Is(err, errNoObject), importer.ErrorCode(err) == importer.NotFound:
		return errRemoved
	}
	return err
}
