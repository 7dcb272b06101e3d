package actors_test

import (
	"context"
	"io"
	"maps"
	"slices"
	"sync"

	"github.com/google/uuid"

	"importer"
)

// memorySpool is an importer.Spool whose files grow as a test appends.
type memorySpool struct {
	mu    sync.Mutex
	files map[uuid.UUID]*memoryFile
	opens int

	removals int
}

type memoryFile struct {
	mu     sync.Mutex
	data   []byte
	sealed bool
	grown  chan struct{} // closed and replaced when data or sealed change
}

func newMemorySpool() *memorySpool { return &memorySpool{files: map[uuid.UUID]*memoryFile{}} }

func (s *memorySpool) file(id uuid.UUID) (*memoryFile, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if f := s.files[id]; f != nil {
		return f, nil
	}
	return nil, importer.Errorf(importer.NotFound, "no such file")
}

func (s *memorySpool) Create(_ context.Context, id uuid.UUID) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.files[id] = &memoryFile{grown: make(chan struct{})}
	return nil
}

func (s *memorySpool) Append(_ context.Context, id uuid.UUID, _ int64, r io.Reader) (int64, error) {
	f, err := s.file(id)
	if err != nil {
		return 0, err
	}
	data, err := io.ReadAll(r)
	f.change(func() { f.data = append(f.data, data...) })
	return int64(len(data)), err
}

func (s *memorySpool) Size(_ context.Context, id uuid.UUID) (int64, error) {
	f, err := s.file(id)
	if err != nil {
		return 0, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	return int64(len(f.data)), nil
}

func (s *memorySpool) Seal(_ context.Context, id uuid.UUID) error {
	f, err := s.file(id)
	if err == nil {
		f.change(func() { f.sealed = true })
	}
	return err
}

func (s *memorySpool) Open(ctx context.Context, id uuid.UUID) (io.ReadCloser, error) {
	f, err := s.file(id)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	s.opens++
	s.mu.Unlock()
	return &memoryReader{f: f, ctx: ctx}, nil
}

func (s *memorySpool) Remove(_ context.Context, id uuid.UUID) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.files, id)
	s.removals++
	return nil
}

func (s *memorySpool) List(context.Context) ([]uuid.UUID, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Collect(maps.Keys(s.files)), nil
}

func (s *memorySpool) has(id uuid.UUID) bool {
	_, err := s.file(id)
	return err == nil
}

func (f *memoryFile) change(how func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	how()
	close(f.grown)
	f.grown = make(chan struct{})
}

type memoryReader struct {
	f   *memoryFile
	ctx context.Context
	at  int
}

func (r *memoryReader) Read(p []byte) (int, error) {
	for {
		r.f.mu.Lock()
		n, sealed, grown := copy(p, r.f.data[r.at:]), r.f.sealed, r.f.grown
		r.f.mu.Unlock()
		switch {
		case n > 0:
			r.at += n
			return n, nil
		case sealed:
			return 0, io.EOF
		}
		select {
		case <-grown:
		case <-r.ctx.Done():
			return 0, r.ctx.Err()
		}
	}
}

func (r *memoryReader) Close() error { return nil }
