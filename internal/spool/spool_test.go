package spool_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"math/rand/v2"
	"path/filepath"
	"sync"
	"testing"
	"testing/iotest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"go.uber.org/goleak"

	"importer"
	"importer/internal/spool/s3test"
)

const chunk = 8 << 20 // of a Dir; two of a Bucket

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// onEach runs a scenario of importer.Spool on everything that is one. another
// opens the same storage as another process would.
func onEach(t *testing.T, scenario func(t *testing.T, s importer.Spool, id uuid.UUID, another func() importer.Spool)) {
	t.Helper()
	for name, storage := range map[string]func(*testing.T) func() importer.Spool{
		"on disk": func(t *testing.T) func() importer.Spool {
			path := filepath.Join(t.TempDir(), "spool")
			return func() importer.Spool { return openDir(t, path) }
		},
		"in a bucket": func(t *testing.T) func() importer.Spool {
			server := s3test.Start(t)
			return func() importer.Spool { return openBucket(t, server) }
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			another := storage(t)
			s, id := another(), uuid.New()
			if err := s.Create(t.Context(), id); err != nil {
				t.Fatal(err)
			}
			scenario(t, s, id, another)
		})
	}
}

func add(t *testing.T, s importer.Spool, id uuid.UUID, offset int64, content []byte) {
	t.Helper()
	n, err := s.Append(t.Context(), id, offset, bytes.NewReader(content))
	if err != nil || n != int64(len(content)) {
		t.Fatalf("got %d bytes added and %v, want %d", n, err, len(content))
	}
}

func seal(t *testing.T, s importer.Spool, id uuid.UUID) {
	t.Helper()
	if err := s.Seal(t.Context(), id); err != nil {
		t.Fatal(err)
	}
}

func size(t *testing.T, s importer.Spool, id uuid.UUID) int64 {
	t.Helper()
	n, err := s.Size(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func read(t *testing.T, s importer.Spool, id uuid.UUID) []byte {
	t.Helper()
	r, err := s.Open(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	content, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return content
}

// noise is content in which every misplaced chunk shows.
func noise(n int) []byte {
	b := make([]byte, n)
	rand.NewChaCha8([32]byte{byte(n)}).Read(b)
	return b
}

func wantCode(t *testing.T, what string, err error, code importer.Code) {
	t.Helper()
	if importer.ErrorCode(err) != code {
		t.Errorf("%s: got %v, want code %s", what, err, code)
	}
}

func TestRoundTrip(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, s importer.Spool, id uuid.UUID, another func() importer.Spool) {
		content := noise(2*chunk + 12_345)
		cuts := []int{0, 1, 100, chunk - 1, chunk, chunk + 1, 2 * chunk, len(content)}
		for i := range len(cuts) - 1 {
			add(t, s, id, int64(cuts[i]), content[cuts[i]:cuts[i+1]])
			if got := size(t, s, id); got != int64(cuts[i+1]) {
				t.Fatalf("got size %d, want %d", got, cuts[i+1])
			}
		}
		seal(t, s, id)
		if !bytes.Equal(read(t, s, id), content) {
			t.Error("read other bytes than were added")
		}
		if !bytes.Equal(read(t, another(), id), content) {
			t.Error("read other bytes after a restart")
		}
	})
}

func TestRules(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, s importer.Spool, id uuid.UUID, _ func() importer.Spool) {
		ctx := t.Context()
		wantCode(t, "create twice", s.Create(ctx, id), importer.Conflict)
		add(t, s, id, 0, []byte("12345"))
		for _, offset := range []int64{0, 4, 6} {
			n, err := s.Append(ctx, id, offset, bytes.NewReader([]byte("x")))
			wantCode(t, "append elsewhere", err, importer.Conflict)
			if n != 0 {
				t.Errorf("got %d bytes added at offset %d, want none", n, offset)
			}
		}
		seal(t, s, id)
		if err := s.Seal(ctx, id); err != nil {
			t.Errorf("seal again: %v", err)
		}
		_, err := s.Append(ctx, id, 5, bytes.NewReader([]byte("x")))
		wantCode(t, "append to a sealed file", err, importer.Conflict)
		if got := string(read(t, s, id)); got != "12345" {
			t.Errorf("got %q, want 12345", got)
		}

		other := uuid.New()
		_, err = s.Size(ctx, other)
		wantCode(t, "size of none", err, importer.NotFound)
		_, err = s.Append(ctx, other, 0, bytes.NewReader(nil))
		wantCode(t, "append to none", err, importer.NotFound)
		_, err = s.Open(ctx, other)
		wantCode(t, "open none", err, importer.NotFound)
		wantCode(t, "seal none", s.Seal(ctx, other), importer.NotFound)
		if err := s.Remove(ctx, other); err != nil {
			t.Errorf("remove none: %v", err)
		}

		got, err := s.List(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff([]uuid.UUID{id}, got); diff != "" {
			t.Errorf("list (-want +got):\n%s", diff)
		}
		if err := s.Remove(ctx, id); err != nil {
			t.Fatal(err)
		}
		if got, _ := s.List(ctx); len(got) != 0 {
			t.Errorf("got %v after the removal, want none", got)
		}
		if err := s.Create(ctx, id); err != nil {
			t.Errorf("create after the removal: %v", err)
		}
		if got := size(t, s, id); got != 0 {
			t.Errorf("got size %d of the new file, want 0", got)
		}
	})
}

// An empty file is one, too.
func TestEmptyFile(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, s importer.Spool, id uuid.UUID, another func() importer.Spool) {
		add(t, s, id, 0, nil)
		seal(t, s, id)
		if got := read(t, another(), id); len(got) != 0 {
			t.Errorf("got %d bytes, want none", len(got))
		}
	})
}

func TestReaderFollowsTheWriter(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, s importer.Spool, id uuid.UUID, another func() importer.Spool) {
		content := noise(chunk + 3_000_000)
		var readers sync.WaitGroup
		for i, from := range []importer.Spool{s, s, another()} {
			r, err := from.Open(t.Context(), id)
			if err != nil {
				t.Fatal(err)
			}
			readers.Go(func() {
				defer r.Close()
				sum := sha256.New()
				n, err := io.CopyBuffer(struct{ io.Writer }{sum}, r, make([]byte, 1000*(i+1)))
				if err != nil || n != int64(len(content)) || [32]byte(sum.Sum(nil)) != sha256.Sum256(content) {
					t.Errorf("reader %d: got %d bytes and %v, want the %d that were sent", i, n, err, len(content))
				}
			})
		}
		for at := 0; at < len(content); {
			next := min(len(content), at+1+rand.IntN(2_000_000))
			add(t, s, id, int64(at), content[at:next])
			at = next
		}
		seal(t, s, id)
		readers.Wait()
	})
}

// What is appended is readable before Append returns: a scan overlaps the
// upload.
func TestReaderSeesBytesBeforeTheEndOfAppend(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, s importer.Spool, id uuid.UUID, _ func() importer.Spool) {
		r, err := s.Open(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		in, out := io.Pipe()
		done := make(chan error, 1)
		go func() {
			_, err := s.Append(t.Context(), id, 0, in)
			done <- err
		}()
		for range 2 {
			part := noise(chunk)
			out.Write(part)
			got := make([]byte, len(part))
			if _, err := io.ReadFull(r, got); err != nil || !bytes.Equal(got, part) {
				t.Fatalf("read other bytes than were written so far (%v)", err)
			}
		}
		out.Close()
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	})
}

func TestSecondAppendIsRefused(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, s importer.Spool, id uuid.UUID, _ func() importer.Spool) {
		in, out := io.Pipe()
		done := make(chan error, 1)
		go func() {
			_, err := s.Append(t.Context(), id, 0, in)
			done <- err
		}()
		out.Write([]byte("first")) // it is at work now
		_, err := s.Append(t.Context(), id, 0, bytes.NewReader([]byte("second")))
		wantCode(t, "second append", err, importer.Conflict)
		wantCode(t, "seal meanwhile", s.Seal(t.Context(), id), importer.Conflict)
		out.Close()
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		seal(t, s, id)
		if got := string(read(t, s, id)); got != "first" {
			t.Errorf("got %q, want first", got)
		}
	})
}

func TestAppendKeepsWhatCameBeforeAnError(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, s importer.Spool, id uuid.UUID, another func() importer.Spool) {
		broken := errors.New("connection reset")
		n, err := s.Append(t.Context(), id, 0, io.MultiReader(bytes.NewReader([]byte("half")), iotest.ErrReader(broken)))
		if n != 4 || !errors.Is(err, broken) {
			t.Errorf("got %d bytes and %v, want 4 and the reader's error", n, err)
		}
		if got := size(t, another(), id); got != 4 {
			t.Errorf("got size %d, want 4", got)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if n, err := s.Append(ctx, id, 4, bytes.NewReader([]byte("x"))); n != 0 || !errors.Is(err, context.Canceled) {
			t.Errorf("got %d bytes and %v, want none after the context's end", n, err)
		}
	})
}

// One goes on where the other one was cut, as often as it happens.
func TestTwoProcessesTakeTurns(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, s importer.Spool, id uuid.UUID, another func() importer.Spool) {
		content := noise(3_000_000)
		turns := []importer.Spool{s, another()}
		for at, turn := 0, 0; at < len(content); turn++ {
			next := min(len(content), at+400_000)
			add(t, turns[turn%2], id, int64(at), content[at:next])
			if got := size(t, turns[(turn+1)%2], id); got != int64(next) {
				t.Fatalf("the other one sees %d bytes, want %d", got, next)
			}
			at = next
		}
		seal(t, turns[1], id)
		if !bytes.Equal(read(t, turns[0], id), content) {
			t.Error("read other bytes than were added")
		}
	})
}

func TestWaitingReaderEnds(t *testing.T) {
	t.Parallel()
	lost := func(err error) bool { return importer.ErrorCode(err) == importer.StorageLost }
	for _, test := range []struct {
		name string
		end  func(s, other importer.Spool, id uuid.UUID, r io.Closer, cancel func()) error
		ok   func(error) bool
	}{
		{"with its context", func(_, _ importer.Spool, _ uuid.UUID, _ io.Closer, cancel func()) error { cancel(); return nil },
			func(err error) bool { return errors.Is(err, context.Canceled) }},
		{"when it is closed", func(_, _ importer.Spool, _ uuid.UUID, r io.Closer, _ func()) error { return r.Close() },
			func(err error) bool { return errors.Is(err, context.Canceled) }},
		{"when the file is removed", func(s, _ importer.Spool, id uuid.UUID, _ io.Closer, _ func()) error {
			return s.Remove(context.Background(), id)
		}, lost},
		{"when another process removes the file", func(_, other importer.Spool, id uuid.UUID, _ io.Closer, _ func()) error {
			return other.Remove(context.Background(), id)
		}, lost},
		{"when another process seals the file", func(_, other importer.Spool, id uuid.UUID, _ io.Closer, _ func()) error {
			return other.Seal(context.Background(), id)
		}, func(err error) bool { return err == io.EOF }},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			onEach(t, func(t *testing.T, s importer.Spool, id uuid.UUID, another func() importer.Spool) {
				add(t, s, id, 0, []byte("abc"))
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				r, err := s.Open(ctx, id)
				if err != nil {
					t.Fatal(err)
				}
				defer r.Close()
				if _, err := io.ReadFull(r, make([]byte, 3)); err != nil {
					t.Fatal(err)
				}
				ended := make(chan error, 1)
				go func() {
					_, err := r.Read(make([]byte, 1))
					ended <- err
				}()
				if err := test.end(s, another(), id, r, cancel); err != nil {
					t.Fatal(err)
				}
				select {
				case err := <-ended:
					if !test.ok(err) {
						t.Errorf("got %v", err)
					}
				case <-time.After(10 * time.Second):
					t.Fatal("the reader waits for ever")
				}
			})
		})
	}
}
