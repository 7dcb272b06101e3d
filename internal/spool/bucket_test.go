package spool_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"importer"
	"importer/internal/spool"
	"importer/internal/spool/s3test"
)

func openBucket(t *testing.T, server *s3test.Server) *spool.Bucket {
	t.Helper()
	return openBucketWith(t, optionsOf(server))
}

func openBucketWith(t *testing.T, o spool.BucketOptions) *spool.Bucket {
	t.Helper()
	b, err := spool.OpenBucket(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	return b
}

func optionsOf(server *s3test.Server) spool.BucketOptions {
	return spool.BucketOptions{
		Name: server.Bucket, Endpoint: server.URL, Region: "auto",
		AccessKey: server.AccessKey, SecretKey: server.SecretKey,
		Patience: 20 * time.Second,
	}
}

// setupBucket makes a spool in a bucket with one empty file in it.
func setupBucket(t *testing.T) (*s3test.Server, *spool.Bucket, uuid.UUID) {
	t.Helper()
	server := s3test.Start(t)
	b, id := openBucket(t, server), uuid.New()
	if err := b.Create(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	return server, b, id
}

// Two machines go on at the same offset. One of them may, whatever the order
// in which their requests arrive.
func TestOneMachineGoesOn(t *testing.T) {
	t.Parallel()
	server, a, id := setupBucket(t)
	b := openBucket(t, server)
	add(t, a, id, 0, []byte("before,"))
	contents := [][]byte{noise(5<<20 + 1), noise(6<<20 + 2)} // different from the first byte on
	added, errs := make([]int64, 2), make([]error, 2)
	var both sync.WaitGroup
	for i, machine := range []*spool.Bucket{a, b} {
		both.Go(func() { added[i], errs[i] = machine.Append(t.Context(), id, 7, bytes.NewReader(contents[i])) })
	}
	both.Wait()
	winner := 0
	if errs[0] != nil {
		winner = 1
	}
	if errs[winner] != nil || added[winner] != int64(len(contents[winner])) {
		t.Fatalf("one of them has to get on: %v, %v", errs[0], errs[1])
	}
	wantCode(t, "the other one", errs[1-winner], importer.Conflict)
	if added[1-winner] != 0 {
		t.Errorf("%d bytes of the other one counted, want none", added[1-winner])
	}
	for _, machine := range []*spool.Bucket{a, b} {
		if got, want := size(t, machine, id), 7+added[winner]; got != want {
			t.Errorf("got size %d, want %d", got, want)
		}
	}
	seal(t, b, id)
	if want := append([]byte("before,"), contents[winner]...); !bytes.Equal(read(t, a, id), want) {
		t.Error("the file is not what the one that got on has sent")
	}
}

// The same bytes at the same offset are no conflict: they may have been sent
// twice because an answer got lost.
func TestAChunkWrittenTwice(t *testing.T) {
	t.Parallel()
	server, b, id := setupBucket(t)
	lost := map[string]bool{}
	var mu sync.Mutex
	server.Through(func(storage http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			mu.Lock()
			first := r.Method == http.MethodPut && !lost[r.URL.Path]
			lost[r.URL.Path] = true
			mu.Unlock()
			if first {
				storage.ServeHTTP(httptest.NewRecorder(), r)
				panic(http.ErrAbortHandler)
			}
			storage.ServeHTTP(w, r)
		})
	})
	content := noise(5 << 20)
	add(t, b, id, 0, content)
	seal(t, b, id)
	other := uuid.New()
	if err := b.Create(t.Context(), other); err != nil {
		t.Errorf("create whose answer got lost: %v", err)
	}
	if !bytes.Equal(read(t, b, id), content) {
		t.Error("read other bytes than were added")
	}
	if len(lost) < 4 {
		t.Errorf("%d answers got lost, want one for each object", len(lost))
	}
}

// What was cut off by a storage that went away goes on when it is back.
func TestStorageGoesAway(t *testing.T) {
	t.Parallel()
	server := s3test.Start(t)
	o := optionsOf(server)
	o.Patience = 5 * time.Second // the load of a test machine is no absence
	b, id := openBucketWith(t, o), uuid.New()
	o.Patience = 100 * time.Millisecond
	hasty := openBucketWith(t, o) // for what fails anyway
	if err := b.Create(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	content := noise(9 << 20)
	in, out := io.Pipe()
	var n int64
	done := make(chan error, 1)
	go func() {
		var err error
		n, err = b.Append(t.Context(), id, 0, in)
		in.Close()
		done <- err
	}()
	out.Write(content[:5<<20]) // one chunk, and some of the next
	server.Down()
	out.Write(content[5<<20:])
	err := <-done
	wantCode(t, "append", err, importer.Unavailable)
	if n != 4<<20 {
		t.Errorf("%d bytes counted, want those of the chunk that was stored", n)
	}
	_, err = hasty.Size(t.Context(), id)
	wantCode(t, "size", err, importer.Unavailable)
	wantCode(t, "create", hasty.Create(t.Context(), uuid.New()), importer.Unavailable)

	server.Through(nil)
	if got := size(t, b, id); got != n {
		t.Fatalf("got size %d, want %d", got, n)
	}
	add(t, b, id, n, content[n:])
	server.Down()
	wantCode(t, "seal", hasty.Seal(t.Context(), id), importer.Unavailable)
	server.Through(nil)
	seal(t, b, id)

	r, err := b.Open(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if _, err := io.ReadFull(r, make([]byte, 4<<20)); err != nil {
		t.Fatal(err)
	}
	server.Down()
	_, err = r.Read(make([]byte, 1))
	wantCode(t, "read", err, importer.Unavailable)
	server.Through(nil)
	if rest, err := io.ReadAll(r); err != nil || !bytes.Equal(rest, content[4<<20:]) {
		t.Errorf("the rest is not what was added (%v)", err)
	}
	server.Down()
	wantCode(t, "remove", hasty.Remove(t.Context(), id), importer.Unavailable)
	_, err = hasty.List(t.Context())
	wantCode(t, "list", err, importer.Unavailable)
}

// Whoever reads ahead of an upload waits with it, however long the storage is
// away: the upload goes on when it is back, and would be lost with its import.
func TestReaderWaitsWithTheUpload(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name  string
		away  func(w http.ResponseWriter)
		tries int // more than within the reader's patience
	}{
		{"no answer", func(http.ResponseWriter) { panic(http.ErrAbortHandler) }, 15},
		{"no rights", func(w http.ResponseWriter) { w.WriteHeader(http.StatusForbidden) }, 3},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			server, other, id := setupBucket(t)
			content := noise(5 << 20)
			add(t, other, id, 0, content[:100])
			o := optionsOf(server)
			o.Patience = time.Second
			r, err := openBucketWith(t, o).Open(t.Context(), id)
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close()
			requests, away := make(chan struct{}, 100), make(chan struct{})
			server.Through(func(storage http.Handler) http.Handler {
				return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					select {
					case <-away:
						storage.ServeHTTP(w, r)
					default:
						select {
						case requests <- struct{}{}:
						default:
						}
						test.away(w)
					}
				})
			})
			got := make(chan []byte, 1)
			go func() {
				all, err := io.ReadAll(r)
				if err != nil {
					t.Error(err)
				}
				got <- all
			}()
			for range test.tries {
				select {
				case <-requests:
				case <-got:
					t.Fatal("the reader has given up")
				}
			}
			close(away)
			add(t, other, id, 100, content[100:])
			seal(t, other, id)
			if !bytes.Equal(<-got, content) {
				t.Error("read other bytes than were added")
			}
		})
	}
}

// Nobody notices a storage that fails every other time, or breaks off in the
// middle of an answer.
func TestStorageFailsNowAndThen(t *testing.T) {
	t.Parallel()
	server, b, id := setupBucket(t)
	var requests atomic.Int64
	server.Through(func(storage http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			switch requests.Add(1) % 4 {
			case 0:
				panic(http.ErrAbortHandler)
			case 1:
				w.WriteHeader(http.StatusServiceUnavailable)
			case 2:
				answer := httptest.NewRecorder()
				storage.ServeHTTP(answer, r)
				for name, values := range answer.Header() {
					w.Header()[name] = values
				}
				w.Header().Set("Content-Length", strconv.Itoa(answer.Body.Len()))
				w.WriteHeader(answer.Code)
				w.Write(answer.Body.Bytes()[:answer.Body.Len()/2])
			default:
				storage.ServeHTTP(w, r)
			}
		})
	})
	content := noise(9 << 20)
	add(t, b, id, 0, content)
	seal(t, b, id)
	if !bytes.Equal(read(t, openBucket(t, server), id), content) {
		t.Error("read other bytes than were added")
	}
}

// A storage that does not answer holds up nobody who has given up.
func TestSlowStorageCanBeLeft(t *testing.T) {
	t.Parallel()
	server, b, id := setupBucket(t)
	add(t, b, id, 0, noise(1000))
	asked, answer := make(chan struct{}), make(chan struct{})
	server.Through(func(storage http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			asked <- struct{}{}
			<-answer
			storage.ServeHTTP(w, r)
		})
	})
	defer close(answer)
	r, err := b.Open(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() {
		_, err := r.Read(make([]byte, 1))
		ended <- err
	}()
	<-asked
	r.Close()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want the end of the reader", err)
	}
}

// What is wrong is said so that somebody can do something about it, and
// without what nobody may know.
func TestWhatIsWrongIsNamed(t *testing.T) {
	t.Parallel()
	server := s3test.Start(t)
	for _, test := range []struct {
		name    string
		wrong   func(*spool.BucketOptions)
		setting string
	}{
		{"access key", func(o *spool.BucketOptions) { o.AccessKey = "another" }, "AWS_ACCESS_KEY_ID"},
		{"secret", func(o *spool.BucketOptions) { o.SecretKey = "not-the-secret" }, "AWS_SECRET_ACCESS_KEY"},
		{"bucket", func(o *spool.BucketOptions) { o.Name = "no-such-bucket" }, "BUCKET_NAME"},
		{"endpoint", func(o *spool.BucketOptions) { o.Endpoint = "http://127.0.0.1:1" }, "AWS_ENDPOINT_URL_S3"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			o := optionsOf(server)
			if test.wrong(&o); test.setting == "AWS_ENDPOINT_URL_S3" {
				o.Patience = 100 * time.Millisecond
			}
			b := openBucketWith(t, o)
			_, size := b.Size(t.Context(), uuid.New())
			_, list := b.List(t.Context())
			for what, err := range map[string]error{"create": b.Create(t.Context(), uuid.New()), "size": size, "list": list, "check": b.Writable(t.Context())} {
				e, ok := errors.AsType[*importer.Error](err)
				if !ok || e.Code != importer.Unavailable || !strings.Contains(e.Message, test.setting) {
					t.Errorf("%s: got %v, want what names %s", what, err, test.setting)
				}
				if ok && (strings.Contains(err.Error(), o.SecretKey) || strings.Contains(e.Message, "127.0.0.1")) {
					t.Errorf("%s: %v tells too much", what, err)
				}
			}
		})
	}
	t.Run("a key that may only read", func(t *testing.T) {
		t.Parallel()
		server := s3test.Start(t)
		server.Refuse(http.StatusForbidden, "AccessDenied")
		err := openBucket(t, server).Writable(t.Context())
		if e, ok := errors.AsType[*importer.Error](err); !ok || !strings.Contains(e.Message, "read, write, list and delete") {
			t.Errorf("got %v", err)
		}
	})
	t.Run("no more room", func(t *testing.T) {
		t.Parallel()
		server := s3test.Start(t)
		server.Refuse(http.StatusForbidden, "QuotaExceeded")
		wantCode(t, "create", openBucket(t, server).Create(t.Context(), uuid.New()), importer.StorageFull)
	})
	t.Run("no name", func(t *testing.T) {
		t.Parallel()
		o := optionsOf(server)
		o.Name = "x"
		if _, err := spool.OpenBucket(o); err == nil || !strings.Contains(err.Error(), `"x"`) {
			t.Errorf("got %v, want what is wrong with the name", err)
		}
	})
	t.Run("no URL", func(t *testing.T) {
		t.Parallel()
		if _, err := spool.OpenBucket(spool.BucketOptions{Name: "b", Endpoint: "fly.storage.tigris.dev"}); err == nil || !strings.Contains(err.Error(), "https://") {
			t.Errorf("got %v, want what an endpoint looks like", err)
		}
	})
}

// A storage that overwrites would let machines spoil each other's uploads.
func TestStorageHasToKeepToConditions(t *testing.T) {
	t.Parallel()
	server := s3test.Start(t)
	b := openBucket(t, server)
	server.Through(func(storage http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if answer := httptest.NewRecorder(); r.Method == http.MethodPut {
				storage.ServeHTTP(answer, r)
				return // well done, it says, whatever it was
			}
			storage.ServeHTTP(w, r)
		})
	})
	err := b.Writable(t.Context())
	if e, ok := errors.AsType[*importer.Error](err); !ok || !strings.Contains(e.Message, "If-None-Match") {
		t.Errorf("got %v, want what the storage lacks", err)
	}
	server.Through(nil)
	if err := b.Writable(t.Context()); err != nil {
		t.Errorf("one that does: %v", err)
	}
	server.Down()
	if err := b.Writable(t.Context()); err != nil {
		t.Errorf("the answer is not believed for a while: %v", err)
	}
	server.Through(nil)
	for _, key := range server.Keys(t) {
		if !strings.Contains(key, "/.probe/") {
			t.Errorf("left behind: %s", key)
		}
	}
}

func TestDamageShows(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name   string
		damage func(t *testing.T, server *s3test.Server, folder string)
	}{
		{"other bytes", func(t *testing.T, server *s3test.Server, folder string) {
			server.Overwrite(t, folder+"0000000004194304", strings.Repeat("x", 1<<20), strings.Repeat("0", 64))
		}},
		{"fewer bytes", func(t *testing.T, server *s3test.Server, folder string) {
			server.Overwrite(t, folder+"0000000004194304", "x", strings.Repeat("0", 64))
		}},
		{"a chunk is gone", func(t *testing.T, server *s3test.Server, folder string) {
			server.Delete(t, folder+"0000000004194304")
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			server, b, id := setupBucket(t)
			add(t, b, id, 0, noise(5<<20))
			seal(t, b, id)
			test.damage(t, server, "uploads/"+id.String()+"/")
			for name, b := range map[string]*spool.Bucket{"here": b, "elsewhere": openBucket(t, server)} {
				r, err := b.Open(t.Context(), id)
				if err != nil {
					t.Fatal(err)
				}
				defer r.Close()
				n, err := io.Copy(io.Discard, r)
				wantCode(t, "read "+name, err, importer.StorageLost)
				if n != 4<<20 {
					t.Errorf("%s: got %d bytes before the error, want those of the first chunk", name, n)
				}
			}
		})
	}
}

// An upload that was ended on another machine ends here, too, and what came
// after that is removed.
func TestAppendNoticesARemovalElsewhere(t *testing.T) {
	t.Parallel()
	server, a, id := setupBucket(t)
	b := openBucket(t, server)
	endless, stop := context.WithCancel(t.Context())
	defer stop()
	removed := make(chan error, 1)
	var once sync.Once
	n, err := a.Append(endless, id, 0, readerFunc(func(p []byte) (int, error) {
		once.Do(func() { removed <- b.Remove(t.Context(), id) })
		return len(p), nil
	}))
	wantCode(t, "append", err, importer.NotFound)
	if err := <-removed; err != nil {
		t.Fatal(err)
	}
	if n%(4<<20) != 0 {
		t.Errorf("%d bytes counted, want whole chunks", n)
	}
	// The machine that hears of it removes what it has added since.
	if err := a.Remove(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	if left := server.Keys(t); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

// What a dead machine has added to a removed file is listed, so that
// housekeeping finds it, but is no file.
func TestRestsAreListed(t *testing.T) {
	t.Parallel()
	server, b, id := setupBucket(t)
	add(t, b, id, 0, noise(100))
	server.Delete(t, "uploads/"+id.String()+"/created")
	_, err := openBucket(t, server).Open(t.Context(), id)
	wantCode(t, "open", err, importer.NotFound)
	if ids, err := b.List(t.Context()); err != nil || len(ids) != 1 || ids[0] != id {
		t.Errorf("listed: %v (%v), want %v", ids, err, id)
	}
	if err := b.Remove(t.Context(), id); err != nil || len(server.Keys(t)) != 0 {
		t.Errorf("left behind: %v (%v)", server.Keys(t), err)
	}
}

// Uploads hold memory for a chunk each, up to a limit for all; above it chunks
// get smaller, and nobody waits for anybody.
func TestUploadsShareMemory(t *testing.T) {
	t.Parallel()
	server := s3test.Start(t)
	b := openBucket(t, server)
	ids := make([]uuid.UUID, 18)
	for i := range ids {
		ids[i] = uuid.New()
		if err := b.Create(t.Context(), ids[i]); err != nil {
			t.Fatal(err)
		}
	}
	last := ids[len(ids)-1]
	held, release := make(chan struct{}), make(chan struct{})
	server.Through(func(storage http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodPut && !strings.Contains(r.URL.Path, last.String()) {
				held <- struct{}{}
				<-release
			}
			storage.ServeHTTP(w, r)
		})
	})
	content := noise(4 << 20)
	var full sync.WaitGroup
	for _, id := range ids[:len(ids)-1] {
		full.Go(func() {
			if n, err := b.Append(t.Context(), id, 0, bytes.NewReader(content)); err != nil || n != int64(len(content)) {
				t.Errorf("%d bytes, %v", n, err)
			}
		})
		<-held // its chunk is on its way now, and waits
	}
	add(t, b, last, 0, content[:1<<20])
	chunks := 0
	for _, key := range server.Keys(t) {
		if strings.Contains(key, last.String()+"/0") {
			chunks++
		}
	}
	if chunks < 8 {
		t.Errorf("a mebibyte was stored in %d chunks, want small ones while memory is short", chunks)
	}
	server.Through(nil)
	close(release)
	for range len(ids) { // those that are larger now
		select {
		case <-held:
		default:
		}
	}
	full.Wait()
	seal(t, b, last)
	if !bytes.Equal(read(t, b, last), content[:1<<20]) {
		t.Error("read other bytes than were added")
	}
}

// Tigris gives every bucket a host name, and tells the truth of the whole world
// to those who ask for it.
func TestTigris(t *testing.T) {
	t.Parallel()
	server := s3test.Start(t)
	var hosts sync.Map
	server.Through(func(storage http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			hosts.Store(r.Host+" "+r.Header.Get("X-Tigris-Consistent"), true)
			storage.ServeHTTP(w, r)
		})
	})
	o := optionsOf(server)
	o.Endpoint = "http://" + s3test.Host
	b := openBucketWith(t, o)
	b.DialTo(strings.TrimPrefix(server.URL, "http://"))
	if err := b.Writable(t.Context()); err != nil {
		t.Fatal(err)
	}
	id, content := uuid.New(), noise(5<<20)
	if err := b.Create(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	add(t, b, id, 0, content)
	seal(t, b, id)
	if !bytes.Equal(read(t, b, id), content) {
		t.Error("read other bytes than were added")
	}
	hosts.Range(func(seen, _ any) bool {
		if want := server.Bucket + "." + s3test.Host + " true"; seen != want {
			t.Errorf("asked %q, want %q", seen, want)
		}
		return true
	})
}
