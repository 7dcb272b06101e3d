package spool

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/google/uuid"
	"golang.org/x/sync/semaphore"

	"importer"
)

// BucketOptions say where the object storage is and who asks. All but
// Patience are required.
type BucketOptions struct {
	Name      string
	Endpoint  string // URL, as https://fly.storage.tigris.dev
	Region    string // "auto" where there is none
	AccessKey string
	SecretKey string

	// Patience is how long a storage that does not answer is waited for, at
	// each step; default 45 s. It is shorter than the silence that httpd allows
	// an upload.
	Patience time.Duration
}

// Bucket is a spool in object storage (S3), for any number of machines. A file
// is what lies below the import's id:
//
//	uploads/<uuid>/0000000000000000 …   chunks, each named by its offset
//	uploads/<uuid>/created              while there is a file
//	uploads/<uuid>/sealed               its size in bytes, once it is whole
//
// Objects are written once and never changed: each is put on condition that
// there is none (If-None-Match). So the chunks whose offsets follow each other
// are the file, whichever machines wrote them, and of two machines that go on
// at the same offset one is told so. A chunk is safe when the storage has
// acknowledged it; one cut short by the end of a request is simply smaller.
//
// Removal begins with "created". What another machine adds after that belongs
// to no file and is removed when that machine notices, or by housekeeping.
type Bucket struct {
	objects  *objects
	patience time.Duration
	memory   *semaphore.Weighted

	mu      sync.Mutex
	files   map[uuid.UUID]*bucketFile // what this process knows
	checked time.Time                 // when all was well the last time
}

const (
	filesPrefix = "uploads/"
	createdName = "created"
	sealedName  = "sealed"

	// What a check found is believed for this long: /readyz is asked often, and
	// requests cost money.
	checkedFor = 30 * time.Second
)

// OpenBucket checks the options. It asks the storage nothing, so that a
// machine starts without it and says what is missing (Writable).
func OpenBucket(o BucketOptions) (*Bucket, error) {
	if o.Patience <= 0 {
		o.Patience = 45 * time.Second
	}
	objects, err := newObjects(o)
	if err != nil {
		return nil, err
	}
	return &Bucket{
		objects: objects, patience: o.Patience,
		memory: semaphore.NewWeighted(chunkMemory),
		files:  map[uuid.UUID]*bucketFile{},
	}, nil
}

// Close lets go of idle connections.
func (b *Bucket) Close() { b.objects.transport.CloseIdleConnections() }

// Create makes room for a file.
func (b *Bucket) Create(ctx context.Context, id uuid.UUID) error {
	ctx, cancel := context.WithTimeout(ctx, b.patience)
	defer cancel()
	// What is in it tells our own object, written twice because an answer got
	// lost, from somebody else's.
	err := b.objects.put(ctx, fileKey(id, createdName), []byte(uuid.NewString()))
	if errors.Is(err, errExists) {
		return importer.Errorf(importer.Conflict, "There is a file for import %s already.", id)
	}
	if err == nil {
		b.file(id).lookedAt(time.Now())
	}
	return err
}

// Size is the number of bytes that are safe so far.
func (b *Bucket) Size(ctx context.Context, id uuid.UUID) (int64, error) {
	f := b.file(id)
	if err := b.look(ctx, f, 0); err != nil {
		return 0, err
	}
	size, _ := f.extent()
	return size, nil
}

// Remove deletes the file; readers end with an error, here at once, on other
// machines when they look.
func (b *Bucket) Remove(ctx context.Context, id uuid.UUID) error {
	ctx, cancel := context.WithTimeout(ctx, b.patience)
	defer cancel()
	b.mu.Lock()
	f := b.files[id]
	delete(b.files, id)
	b.mu.Unlock()
	if f != nil {
		f.remove()
	}
	var first, rest []string
	err := b.objects.list(ctx, fileKey(id, ""), "", func(name string, _ int64) {
		if name == createdName {
			first = append(first, fileKey(id, name))
		} else {
			rest = append(rest, fileKey(id, name))
		}
	})
	if err == nil {
		err = b.objects.remove(ctx, first)
	}
	if err == nil {
		err = b.objects.remove(ctx, rest)
	}
	return err
}

// List returns the files of which something is there, also if that is only
// what a removal has left.
func (b *Bucket) List(ctx context.Context) ([]uuid.UUID, error) {
	ctx, cancel := context.WithTimeout(ctx, b.patience)
	defer cancel()
	began := time.Now()
	ids, there := []uuid.UUID{}, map[uuid.UUID]bool{}
	err := b.objects.folders(ctx, filesPrefix, func(name string) {
		if id, err := uuid.Parse(name); err == nil {
			ids, there[id] = append(ids, id), true
		}
	})
	if err != nil {
		return nil, err
	}
	// Those of other machines end without a word to this one.
	b.mu.Lock()
	defer b.mu.Unlock()
	for id, f := range b.files {
		if !there[id] && f.isOlderThan(began) {
			delete(b.files, id)
		}
	}
	return ids, nil
}

// Writable checks that a file could be kept now: the bucket is there, and this
// machine may write, read, list and delete in it. Then it is believed for half
// a minute.
func (b *Bucket) Writable(ctx context.Context) error {
	b.mu.Lock()
	fresh := time.Since(b.checked) < checkedFor
	b.mu.Unlock()
	if fresh {
		return nil
	}
	if err := b.probe(ctx); err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.checked = time.Now()
	return nil
}

// probe writes, reads and deletes an object, and finds out whether the storage
// keeps to the condition on which everything here rests.
func (b *Bucket) probe(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, b.patience)
	defer cancel()
	folder := filesPrefix + ".probe/"
	name := uuid.NewString()
	content := []byte("probe " + name)
	if err := b.objects.put(ctx, folder+name, content); err != nil {
		return err
	}
	switch err := b.objects.put(ctx, folder+name, []byte("another one")); {
	case err == nil:
		return &importer.Error{Code: importer.Unavailable, Message: "The object storage overwrites what is there although it is told not to (If-None-Match), so machines could spoil each other's uploads. It takes one that keeps to it, as Tigris, Amazon S3, R2 and MinIO do."}
	case !errors.Is(err, errExists):
		return err
	}
	if err := b.objects.get(ctx, folder+name, make([]byte, len(content))); err != nil {
		return err
	}
	found := false
	if err := b.objects.list(ctx, folder, "", func(n string, _ int64) { found = found || n == name }); err != nil {
		return err
	}
	if !found {
		return &importer.Error{Code: importer.Unavailable, Message: "The object storage does not list what has just been written, so machines would not find each other's uploads."}
	}
	return b.objects.remove(ctx, []string{folder + name})
}

// file returns what this process knows about a file, which may be nothing.
func (b *Bucket) file(id uuid.UUID) *bucketFile {
	b.mu.Lock()
	defer b.mu.Unlock()
	f := b.files[id]
	if f == nil {
		f = newBucketFile(id)
		b.files[id] = f
	}
	return f
}

// forget drops a file that is not there.
func (b *Bucket) forget(f *bucketFile) {
	b.mu.Lock()
	if b.files[f.id] == f {
		delete(b.files, f.id)
	}
	b.mu.Unlock()
	f.remove()
}

func fileKey(id uuid.UUID, name string) string { return filesPrefix + id.String() + "/" + name }

// Offsets are written so that they sort: before the other names, and among
// themselves.
func chunkName(offset int64) string { return fmt.Sprintf("%016d", offset) }
