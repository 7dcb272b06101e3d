package httpd_test

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"mime/multipart"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"importer"
	"importer/httpd"
)

func TestUploadRawBody(t *testing.T) {
	t.Parallel()
	content := csv(20_000)
	for _, test := range []struct {
		name   string
		method string
		body   io.Reader
		kind   string
	}{
		{"with a length", "POST", bytes.NewReader(content), "text/csv"},
		{"chunked", "POST", io.MultiReader(bytes.NewReader(content)), "text/csv"},
		{"as curl -T sends it", "PUT", bytes.NewReader(content), ""},
		{"as curl --data-binary sends it", "POST", bytes.NewReader(content), "application/x-www-form-urlencoded"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			r := b.do(test.method, "/api/imports?filename=products.csv&dry_run=true&map[sku]=Art.-Nr.", test.body, "Content-Type", test.kind)
			got := decode[importer.Import](b, r, http.StatusAccepted)
			if want := "/api/imports/" + got.ID.String(); r.header.Get("Location") != want {
				t.Errorf("got Location %q, want %q", r.header.Get("Location"), want)
			}
			want := importer.Import{
				ID: got.ID, Filename: "products.csv", Size: int64(len(content)), State: importer.Queued, DryRun: true,
				Mapping: map[string]string{"sku": "Art.-Nr."}, Attempts: 1, CreatedAt: got.CreatedAt,
			}
			if d := cmp.Diff(want, got); d != "" {
				t.Errorf("import (-want +got):\n%s", d)
			}
			if !bytes.Equal(b.stored(got.ID), content) {
				t.Error("the spool holds other bytes than were sent")
			}
			if d := cmp.Diff([]string{"begin", "wake"}, b.importer.told()); d != "" {
				t.Errorf("calls (-want +got):\n%s", d)
			}
			told := b.importer.bytes(got.ID)
			if !slices.IsSorted(told) || told[0] == 0 || told[len(told)-1] != int64(len(content)) {
				t.Errorf("got received %v, want growing figures up to %d", told, len(content))
			}
		})
	}
}

func TestUploadMultipart(t *testing.T) {
	t.Parallel()
	content := csv(5_000)
	form := func(f func(*multipart.Writer)) (io.Reader, string) {
		var body bytes.Buffer
		w := multipart.NewWriter(&body)
		f(w)
		w.Close()
		return &body, w.FormDataContentType()
	}
	file := func(w *multipart.Writer, field, name string) {
		part, _ := w.CreateFormFile(field, name)
		part.Write(content)
	}
	t.Run("file", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		body, kind := form(func(w *multipart.Writer) {
			w.WriteField("comment", "ignored")
			file(w, "file", `C:\stock\products.csv`)
			w.WriteField("after", "ignored")
		})
		got := decode[importer.Import](b, b.do("POST", "/api/imports", body, "Content-Type", kind), http.StatusAccepted)
		if got.Filename != "products.csv" || got.Size != int64(len(content)) {
			t.Errorf("got %q of %d bytes, want products.csv of %d", got.Filename, got.Size, len(content))
		}
		if !bytes.Equal(b.stored(got.ID), content) {
			t.Error("the spool holds other bytes than were sent")
		}
	})
	t.Run("no file", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		body, kind := form(func(w *multipart.Writer) { file(w, "upload", "products.csv") })
		b.problem(b.do("POST", "/api/imports", body, "Content-Type", kind), http.StatusBadRequest, importer.Malformed)
		if got := len(b.store.all()); got != 0 {
			t.Errorf("got %d imports, want none", got)
		}
	})
	t.Run("two files", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		body, kind := form(func(w *multipart.Writer) { file(w, "file", "a.csv"); file(w, "file", "b.csv") })
		b.problem(b.do("POST", "/api/imports", body, "Content-Type", kind), http.StatusUnprocessableEntity, importer.Invalid)
		b.nothingLeft()
	})
	for name, keep := range map[string]int{"nothing of it": 0, "its headers": 100, "half of the file": 50_000, "all but the last boundary": -30} {
		t.Run("cut after "+name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			body, kind := form(func(w *multipart.Writer) { file(w, "file", "a.csv") })
			whole, _ := io.ReadAll(body)
			part := whole[:max(0, keep)]
			if keep < 0 {
				part = whole[:len(whole)+keep]
			}
			code := importer.UploadIncomplete
			if keep == 100 { // mime/multipart tells no end from another there
				code = importer.Malformed
			}
			b.problem(b.do("POST", "/api/imports", bytes.NewReader(part), "Content-Type", kind), http.StatusBadRequest, code)
			b.nothingLeft()
		})
		t.Run("broken off after "+name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			body, kind := form(func(w *multipart.Writer) { file(w, "file", "a.csv") })
			whole, _ := io.ReadAll(body)
			part := whole[:max(0, keep)]
			c := b.dial().(*net.TCPConn)
			fmt.Fprintf(c, "POST /api/imports HTTP/1.1\r\nHost: localhost\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n%s", kind, len(whole), part)
			c.CloseWrite()
			b.problem(readReply(t, c), http.StatusBadRequest, importer.UploadIncomplete)
			b.nothingLeft()
		})
	}
	t.Run("no boundary", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		b.problem(b.do("POST", "/api/imports", strings.NewReader("x"), "Content-Type", "multipart/form-data"), http.StatusBadRequest, importer.Malformed)
	})
	t.Run("too large", func(t *testing.T) {
		t.Parallel()
		b := setup(t, func(o *httpd.Options) { o.MaxUpload = int64(len(content)) - 1 })
		body, kind := form(func(w *multipart.Writer) { file(w, "file", "a.csv") })
		b.problem(b.do("POST", "/api/imports", body, "Content-Type", kind), http.StatusRequestEntityTooLarge, importer.TooLarge)
		b.nothingLeft()
	})
}

func TestUploadEmptyBody(t *testing.T) {
	t.Parallel()
	b := setup(t)
	got := decode[importer.Import](b, b.do("POST", "/api/imports", nil), http.StatusAccepted)
	if got.State != importer.Queued || got.Size != 0 || got.Filename != "upload.csv" {
		t.Errorf("got %+v, want a queued import of 0 bytes", got)
	}
	if content := b.stored(got.ID); len(content) != 0 {
		t.Errorf("got %q in the spool, want nothing", content)
	}
}

func TestUploadOptionsAreChecked(t *testing.T) {
	t.Parallel()
	b := setup(t)
	r := b.do("POST", "/api/imports?dry_run=perhaps&map[price]=Preis&map[sku=x&map[name]=%00", strings.NewReader("sku,name\n"))
	p := b.problem(r, http.StatusUnprocessableEntity, importer.Invalid)
	slices.SortFunc(p.Errors, func(a, b importer.FieldError) int { return strings.Compare(a.Pointer, b.Pointer) })
	want := []importer.FieldError{
		{Pointer: "dry_run", Detail: "is neither true nor false"},
		{Pointer: "map[name]", Detail: "is no text"},
		{Pointer: "map[price]", Detail: "only sku, name and description can be mapped"},
		{Pointer: "map[sku", Detail: "only sku, name and description can be mapped"},
	}
	if d := cmp.Diff(want, p.Errors); d != "" {
		t.Errorf("errors (-want +got):\n%s", d)
	}
	if got := len(b.store.all()); got != 0 {
		t.Errorf("got %d imports, want none", got)
	}
}

func TestUploadFilenames(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for sent, want := range map[string]string{
		"../../etc/passwd":                "passwd",
		`C:\Users\me\list.csv`:            "list.csv",
		"a\x00b\nc\x1b[31m.csv":           "abc[31m.csv",
		"\u202Evsc.exe":                   "vsc.exe",
		"caf\xe9.csv":                     "caf\uFFFD.csv",
		"   ":                             "upload.csv",
		"..":                              "upload.csv",
		strings.Repeat("ü", 200) + ".csv": strings.Repeat("ü", 127),
		"Preisliste Süd 2026 (Kopie).csv": "Preisliste Süd 2026 (Kopie).csv",
		"товары.csv":                      "товары.csv",
	} {
		req, err := http.NewRequestWithContext(t.Context(), "POST", b.url+"/api/imports", strings.NewReader("sku,name\n"))
		if err != nil {
			t.Fatal(err)
		}
		q := req.URL.Query()
		q.Set("filename", sent)
		req.URL.RawQuery = q.Encode()
		r := b.do("POST", "/api/imports?"+q.Encode(), strings.NewReader("sku,name\n"))
		if got := decode[importer.Import](b, r, http.StatusAccepted).Filename; got != want {
			t.Errorf("%q: got %q, want %q", sent, got, want)
		}
	}
}

func TestUploadTooLargeByItsLength(t *testing.T) {
	t.Parallel()
	b := setup(t, func(o *httpd.Options) { o.MaxUpload = 2 << 30 })
	c := b.dial()
	fmt.Fprintf(c, "POST /api/imports HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\nExpect: 100-continue\r\n\r\n", int64(3)<<30)
	b.problem(readReply(t, c), http.StatusRequestEntityTooLarge, importer.TooLarge)
	if got := len(b.store.all()); got != 0 {
		t.Errorf("got %d imports, want none", got)
	}
}

func TestUploadTooLargeOnTheWay(t *testing.T) {
	t.Parallel()
	content := csv(1_000)
	for _, spare := range []int64{0, -1} {
		b := setup(t, func(o *httpd.Options) { o.MaxUpload = int64(len(content)) + spare })
		r := b.do("POST", "/api/imports", io.MultiReader(bytes.NewReader(content)))
		if spare == 0 {
			decode[importer.Import](b, r, http.StatusAccepted)
			continue
		}
		b.problem(r, http.StatusRequestEntityTooLarge, importer.TooLarge)
		got, err := b.store.only()
		if err != nil || got.State != importer.Failed || got.Error.Code != importer.TooLarge {
			t.Errorf("got import %+v (%v), want it failed as too large", got, err)
		}
		b.nothingLeft()
	}
}

func TestUploadCutInTheMiddle(t *testing.T) {
	t.Parallel()
	b := setup(t)
	c := b.dial()
	fmt.Fprintf(c, "POST /api/imports?filename=cut.csv HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n\r\n%s", strings.Repeat("x", 300_000))
	eventually(t, "all bytes to arrive", func() bool {
		imp, err := b.store.only()
		if err != nil {
			return false
		}
		told := b.importer.bytes(imp.ID)
		return len(told) > 0 && told[len(told)-1] >= 256<<10
	})
	c.Close()
	eventually(t, "the import to fail", func() bool {
		imp, err := b.store.only()
		return err == nil && imp.State == importer.Failed
	})
	imp, _ := b.store.only()
	if imp.Error.Code != importer.UploadIncomplete || !strings.Contains(imp.Error.Message, "after 300000 bytes") {
		t.Errorf("got error %+v, want upload_incomplete and the bytes received", imp.Error)
	}
	b.nothingLeft()
	if d := cmp.Diff([]string{"begin", "stop"}, b.importer.told()); d != "" {
		t.Errorf("calls (-want +got):\n%s", d)
	}
}

func TestUploadThatFallsSilentEnds(t *testing.T) {
	t.Parallel()
	b := setup(t, func(o *httpd.Options) { o.UploadIdle = 50 * time.Millisecond })
	c := b.dial()
	fmt.Fprintf(c, "POST /api/imports HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\nsku,name\n")
	b.problem(readReply(t, c), http.StatusBadRequest, importer.UploadIncomplete)
	b.nothingLeft()
}

func TestUploadWithoutDatabase(t *testing.T) {
	t.Parallel()
	away := &importer.Error{Code: importer.Unavailable, Message: "The database cannot be reached.", Err: io.ErrClosedPipe}
	t.Run("at its start", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		b.store.setDown(away)
		r := b.do("POST", "/api/imports", bytes.NewReader(csv(10)))
		p := b.problem(r, http.StatusServiceUnavailable, importer.Unavailable)
		if r.header.Get("Retry-After") == "" || strings.Contains(p.Detail, "pipe") {
			t.Errorf("got Retry-After %q and detail %q, want one, and no cause", r.header.Get("Retry-After"), p.Detail)
		}
		b.nothingLeft()
	})
	t.Run("at its end, and back", func(t *testing.T) {
		t.Parallel()
		content := csv(10_000)
		var tries atomic.Int32
		b := setup(t, func(o *httpd.Options) {
			o.StorePatience = time.Minute
			o.Imports = &registering{ImportStore: o.Imports, before: func() error {
				if tries.Add(1) < 3 {
					return away
				}
				return nil
			}}
		})
		got := decode[importer.Import](b, b.do("POST", "/api/imports", bytes.NewReader(content)), http.StatusAccepted)
		if got.State != importer.Queued || !bytes.Equal(b.stored(got.ID), content) {
			t.Errorf("got state %q, want queued, with its file", got.State)
		}
	})
	t.Run("at its end, and back too late", func(t *testing.T) {
		t.Parallel()
		b := setup(t, func(o *httpd.Options) {
			o.StorePatience = time.Millisecond
			o.Imports = &registering{ImportStore: o.Imports, before: func() error { return away }}
		})
		r := b.do("POST", "/api/imports", bytes.NewReader(csv(10_000)))
		b.problem(r, http.StatusServiceUnavailable, importer.Unavailable)
		if imp, err := b.store.only(); err != nil || imp.State != importer.Failed {
			t.Errorf("got %s import (%v), want it failed", imp.State, err)
		}
		b.nothingLeft()
	})
	t.Run("at its end", func(t *testing.T) {
		t.Parallel()
		b := setup(t, func(o *httpd.Options) { o.StorePatience = time.Millisecond })
		last := readerFunc(func([]byte) (int, error) {
			if !poll(func() bool { _, err := b.store.only(); return err == nil }) {
				return 0, errors.New("waited in vain for the import")
			}
			b.store.setDown(away)
			return 0, io.EOF
		})
		r := b.do("POST", "/api/imports", io.MultiReader(bytes.NewReader(csv(10_000)), last))
		p := b.problem(r, http.StatusServiceUnavailable, importer.Unavailable)
		if r.header.Get("Retry-After") == "" || !strings.Contains(p.Detail, "Upload it again") {
			t.Errorf("got Retry-After %q and detail %q, want one, and what to do", r.header.Get("Retry-After"), p.Detail)
		}
		// Whether it was registered is not known, so its file stays until that is.
		if files, err := b.spool.List(t.Context()); err != nil || len(files) != 1 {
			t.Errorf("got files %v (%v), want the one", files, err)
		}
	})
}

func TestCancelCutsTheUploadOff(t *testing.T) {
	t.Parallel()
	b := setup(t)
	c := b.dial()
	fmt.Fprintf(c, "POST /api/imports HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n\r\nsku,name\n")
	eventually(t, "the first bytes", func() bool {
		imp, err := b.store.only()
		return err == nil && len(b.importer.bytes(imp.ID)) > 0
	})
	imp, _ := b.store.only()
	got := decode[importer.Import](b, b.do("POST", "/api/imports/"+imp.ID.String()+"/cancel", nil), http.StatusOK)
	if got.State != importer.Cancelled {
		t.Errorf("got state %q, want cancelled", got.State)
	}
	b.problem(readReply(t, c), http.StatusConflict, importer.Conflict)
	b.nothingLeft()
}

func TestUploadsSideBySide(t *testing.T) {
	t.Parallel()
	b := setup(t)
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			content := csv(3_000 + i)
			got := decode[importer.Import](b, b.do("POST", "/api/imports", bytes.NewReader(content)), http.StatusAccepted)
			if !bytes.Equal(b.stored(got.ID), content) {
				t.Errorf("upload %d: the spool holds other bytes than were sent", i)
			}
		})
	}
	wg.Wait()
}

const fullDiskChild = "HTTPD_TEST_FULL_DISK"

// A disk that is full for this process alone: the kernel refuses to let a
// file grow over RLIMIT_FSIZE, so the test runs again in a child that has one.
func TestUploadOntoFullDisk(t *testing.T) {
	t.Parallel()
	if os.Getenv(fullDiskChild) == "" {
		child := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestUploadOntoFullDisk$", "-test.v")
		child.Env = append(os.Environ(), fullDiskChild+"=1")
		if out, err := child.CombinedOutput(); err != nil || !bytes.Contains(out, []byte("--- PASS: TestUploadOntoFullDisk")) {
			t.Fatalf("in the child: %v\n%s", err, out)
		}
		return
	}
	signal.Ignore(syscall.SIGXFSZ)
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: 1 << 20, Max: 1 << 20}); err != nil {
		t.Fatal(err)
	}
	b := setup(t)
	p := b.problem(b.do("POST", "/api/imports", io.LimitReader(zeros{}, 3<<20)), http.StatusInsufficientStorage, importer.StorageFull)
	if !strings.Contains(p.Detail, "disk is full") {
		t.Errorf("got detail %q, want it to say that the disk is full", p.Detail)
	}
	imp, err := b.store.only()
	if err != nil || imp.State != importer.Failed || imp.Error.Code != importer.StorageFull {
		t.Errorf("got import %+v (%v), want it failed as storage_full", imp, err)
	}
	b.nothingLeft()

	location := createTus(b, 3<<20)
	b.problem(b.do("PATCH", location, io.LimitReader(zeros{}, 3<<20), patchHeader(0)...), http.StatusInsufficientStorage, importer.StorageFull)
	b.nothingLeft()
	if got := b.do("HEAD", location, nil).status; got != http.StatusNotFound {
		t.Errorf("got status %d for the upload, want it gone", got)
	}
}

// A spool that cannot make room must leave no import that seems to upload.
func TestUploadWithoutSpool(t *testing.T) {
	t.Parallel()
	b := setup(t)
	if err := os.RemoveAll(b.dir); err != nil {
		t.Fatal(err)
	}
	r := b.do("POST", "/api/imports", bytes.NewReader(csv(10)))
	p := b.problem(r, http.StatusInternalServerError, importer.Internal)
	if strings.Contains(p.Detail, b.dir) || !strings.Contains(p.Detail, r.header.Get("X-Request-Id")) {
		t.Errorf("got detail %q, want the request id and no path", p.Detail)
	}
	imp, err := b.store.only()
	if err != nil || imp.State != importer.Failed {
		t.Errorf("got %+v (%v), want a failed import", imp, err)
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

func readReply(t *testing.T, c io.Reader) reply {
	t.Helper()
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	content, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return reply{resp.StatusCode, resp.Header, content}
}
