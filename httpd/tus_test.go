package httpd_test

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"path"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"importer"
	"importer/httpd"
	"importer/internal/spool"
)

const tusVersion = "1.0.0"

func createTus(b *bench, size int, meta ...string) (location string) {
	b.t.Helper()
	r := b.do("POST", "/api/uploads", nil, "Tus-Resumable", tusVersion, "Upload-Length", strconv.Itoa(size), "Upload-Metadata", metadata(meta...))
	if r.status != http.StatusCreated {
		b.t.Fatalf("got status %d, want 201: %s", r.status, r.body)
	}
	return r.header.Get("Location")
}

func metadata(pairs ...string) string {
	var words []string
	for i := 0; i < len(pairs); i += 2 {
		words = append(words, pairs[i]+" "+base64.StdEncoding.EncodeToString([]byte(pairs[i+1])))
	}
	return strings.Join(words, ",")
}

func patchHeader(offset int) []string {
	return []string{"Tus-Resumable", tusVersion, "Content-Type", "application/offset+octet-stream", "Upload-Offset", strconv.Itoa(offset)}
}

func (b *bench) patch(location string, offset int, part []byte) reply {
	b.t.Helper()
	return b.do("PATCH", location, bytes.NewReader(part), patchHeader(offset)...)
}

func (b *bench) offset(location string) string {
	b.t.Helper()
	r := b.do("HEAD", location, nil, "Tus-Resumable", tusVersion)
	if r.status != http.StatusOK {
		b.t.Fatalf("got status %d for HEAD, want 200", r.status)
	}
	return r.header.Get("Upload-Offset")
}

func tusID(location string) uuid.UUID { return uuid.MustParse(path.Base(location)) }

func TestTusInParts(t *testing.T) {
	t.Parallel()
	b := setup(t)
	content := csv(2_000)
	location := createTus(b, len(content), "filename", "products.csv", "dry_run", "true", "map_name", "Titel", "filetype", "text/csv")
	if !strings.HasPrefix(location, "/api/uploads/") {
		t.Errorf("got Location %q, want one without a host", location)
	}
	imp, err := b.store.only()
	if err != nil {
		t.Fatal(err)
	}
	want := importer.Import{
		ID: tusID(location), Filename: "products.csv", Size: int64(len(content)), State: importer.Uploading, DryRun: true,
		Resumable: true, Mapping: map[string]string{"name": "Titel"}, Attempts: 1, CreatedAt: imp.CreatedAt,
	}
	if d := cmp.Diff(want, imp); d != "" {
		t.Errorf("import at creation (-want +got):\n%s", d)
	}
	for at := 0; at < len(content); {
		next := min(at+30_000, len(content))
		r := b.patch(location, at, content[at:next])
		if r.status != http.StatusNoContent || r.header.Get("Upload-Offset") != strconv.Itoa(next) {
			t.Fatalf("got status %d at offset %q, want 204 at %d", r.status, r.header.Get("Upload-Offset"), next)
		}
		if got := b.offset(location); got != strconv.Itoa(next) {
			t.Errorf("got offset %q, want %d", got, next)
		}
		at = next
	}
	if imp, _ = b.store.only(); imp.State != importer.Queued {
		t.Errorf("got state %q, want queued", imp.State)
	}
	if !bytes.Equal(b.stored(imp.ID), content) {
		t.Error("the spool holds other bytes than were sent")
	}
	if d := cmp.Diff([]string{"begin", "wake"}, b.importer.told()); d != "" {
		t.Errorf("calls (-want +got):\n%s", d)
	}
}

func TestTusGoesOnAfterARestart(t *testing.T) {
	t.Parallel()
	b := setup(t)
	content := csv(5_000)
	location := createTus(b, len(content))
	half := len(content) / 2

	// The connection breaks in the middle of a part.
	c := b.dial()
	fmt.Fprintf(c, "PATCH %s HTTP/1.1\r\nHost: localhost\r\nTus-Resumable: 1.0.0\r\nContent-Type: application/offset+octet-stream\r\nUpload-Offset: 0\r\nContent-Length: %d\r\n\r\n", location, len(content))
	c.Write(content[:half])
	eventually(t, "the half to arrive", func() bool {
		size, err := b.spool.Size(t.Context(), tusID(location))
		return err == nil && size == int64(half)
	})
	c.Close()
	// HEAD waits for the lock of the broken request, so what it says is final.
	if got := b.offset(location); got != strconv.Itoa(half) {
		t.Fatalf("got offset %q after the break, want %d", got, half)
	}

	files, err := spool.Open(b.dir)
	if err != nil {
		t.Fatal(err)
	}
	again := setup(t, func(o *httpd.Options) { o.Imports, o.Spool = b.store, files })
	again.store = b.store
	if got := again.offset(location); got != strconv.Itoa(half) {
		t.Fatalf("got offset %q after the restart, want %d", got, half)
	}
	again.problem(again.patch(location, half-1, content[half-1:]), http.StatusConflict, importer.Conflict)
	if r := again.patch(location, half, content[half:]); r.status != http.StatusNoContent {
		t.Fatalf("got status %d, want 204: %s", r.status, r.body)
	}
	if !bytes.Equal(again.stored(tusID(location)), content) {
		t.Error("the spool holds other bytes than were sent")
	}
}

// The database went away between the last byte and its registration: the
// client has sent everything and only asks.
func TestTusRegistersLate(t *testing.T) {
	t.Parallel()
	b := setup(t)
	content := csv(100)
	location := createTus(b, len(content))
	if r := b.patch(location, 0, content[:100]); r.status != http.StatusNoContent {
		t.Fatalf("got status %d, want 204", r.status)
	}
	last := readerFunc(func([]byte) (int, error) {
		// The other bytes of the part are stored, so the request is past its
		// look-up of the import.
		arrived := func() bool {
			size, err := b.spool.Size(t.Context(), tusID(location))
			return err == nil && size == int64(len(content))
		}
		if !poll(arrived) {
			return 0, errors.New("waited in vain for the part")
		}
		b.store.setDown(importer.Errorf(importer.Unavailable, "The database cannot be reached."))
		return 0, io.EOF
	})
	r := b.do("PATCH", location, io.MultiReader(bytes.NewReader(content[100:]), last), patchHeader(100)...)
	if p := b.problem(r, http.StatusServiceUnavailable, importer.Unavailable); strings.Contains(p.Detail, "Upload it again") {
		t.Errorf("got detail %q, but nothing has to be sent again", p.Detail)
	}
	b.store.setDown(nil)
	if got := b.offset(location); got != strconv.Itoa(len(content)) {
		t.Errorf("got offset %q, want %d", got, len(content))
	}
	if imp, _ := b.store.only(); imp.State != importer.Queued {
		t.Errorf("got state %q, want queued", imp.State)
	}
}

func TestTusCreationWithUpload(t *testing.T) {
	t.Parallel()
	b := setup(t)
	content := csv(10)
	r := b.do("POST", "/api/uploads", bytes.NewReader(content), "Tus-Resumable", tusVersion, "Upload-Length", strconv.Itoa(len(content)),
		"Content-Type", "application/offset+octet-stream")
	if r.status != http.StatusCreated || r.header.Get("Upload-Offset") != strconv.Itoa(len(content)) {
		t.Fatalf("got status %d at %q, want 201 at the end: %s", r.status, r.header.Get("Upload-Offset"), r.body)
	}
	if !bytes.Equal(b.stored(tusID(r.header.Get("Location"))), content) {
		t.Error("the spool holds other bytes than were sent")
	}
}

func TestTusEmptyFile(t *testing.T) {
	t.Parallel()
	b := setup(t)
	location := createTus(b, 0)
	if imp, _ := b.store.only(); imp.State != importer.Queued {
		t.Errorf("got state %q, want queued", imp.State)
	}
	if got := b.offset(location); got != "0" {
		t.Errorf("got offset %q, want 0", got)
	}
}

func TestTusDeleteCancels(t *testing.T) {
	t.Parallel()
	b := setup(t)
	location := createTus(b, 1000)
	b.patch(location, 0, csv(1))
	if r := b.do("DELETE", location, nil, "Tus-Resumable", tusVersion); r.status != http.StatusNoContent {
		t.Fatalf("got status %d, want 204: %s", r.status, r.body)
	}
	if imp, _ := b.store.only(); imp.State != importer.Cancelled {
		t.Errorf("got state %q, want cancelled", imp.State)
	}
	b.nothingLeft()
	if got := b.do("HEAD", location, nil, "Tus-Resumable", tusVersion).status; got != http.StatusNotFound {
		t.Errorf("got status %d for the upload, want it gone", got)
	}
	b.problem(b.patch(location, 0, csv(1)), http.StatusNotFound, importer.NotFound)
}

func TestCancelCutsATusPartOff(t *testing.T) {
	t.Parallel()
	b := setup(t)
	location := createTus(b, 1_000_000)
	c := b.dial()
	fmt.Fprintf(c, "PATCH %s HTTP/1.1\r\nHost: localhost\r\nTus-Resumable: 1.0.0\r\nContent-Type: application/offset+octet-stream\r\nUpload-Offset: 0\r\nContent-Length: 1000000\r\n\r\nsku,name\n", location)
	eventually(t, "the first bytes", func() bool { return len(b.importer.bytes(tusID(location))) > 0 })
	decode[importer.Import](b, b.do("POST", "/api/imports/"+path.Base(location)+"/cancel", nil), http.StatusOK)
	b.problem(readReply(t, c), http.StatusNotFound, importer.NotFound)
	b.nothingLeft()
}

func TestTusRefusals(t *testing.T) {
	t.Parallel()
	b := setup(t, func(o *httpd.Options) { o.MaxUpload = 1000 })
	whole := b.store.put(importer.Import{State: importer.Uploading})
	location := createTus(b, 100)
	for _, test := range []struct {
		name         string
		method, path string
		header       []string
		status       int
		code         importer.Code
	}{
		{"too large", "POST", "/api/uploads", []string{"Tus-Resumable", tusVersion, "Upload-Length", "1001"}, 413, importer.TooLarge},
		{"no length", "POST", "/api/uploads", []string{"Tus-Resumable", tusVersion}, 400, importer.Malformed},
		{"no version", "POST", "/api/uploads", []string{"Upload-Length", "10"}, 412, importer.Precondition},
		{"bad option", "POST", "/api/uploads", []string{"Tus-Resumable", tusVersion, "Upload-Length", "10", "Upload-Metadata", metadata("map_price", "x")}, 422, importer.Invalid},
		{"unknown upload", "PATCH", "/api/uploads/" + uuid.NewString(), patchHeader(0), 404, importer.NotFound},
		{"no id", "PATCH", "/api/uploads/nonsense", patchHeader(0), 404, importer.NotFound},
		{"not in parts", "PATCH", "/api/uploads/" + whole.ID.String(), patchHeader(0), 404, importer.NotFound},
		{"wrong content type", "PATCH", location, []string{"Tus-Resumable", tusVersion, "Upload-Offset", "0"}, 400, importer.Malformed},
		{"wrong offset", "PATCH", location, patchHeader(7), 409, importer.Conflict},
		{"download", "GET", location, nil, 405, importer.Malformed},
	} {
		t.Run(test.name, func(t *testing.T) {
			b.problem(b.do(test.method, test.path, nil, test.header...), test.status, test.code)
		})
	}
	b.problem(b.patch(location, 0, make([]byte, 101)), http.StatusRequestEntityTooLarge, importer.TooLarge)
}

func TestTusOptions(t *testing.T) {
	t.Parallel()
	b := setup(t, func(o *httpd.Options) { o.MaxUpload = 1000 })
	r := b.do("OPTIONS", "/api/uploads", nil)
	got := map[string]string{}
	for _, name := range []string{"Tus-Resumable", "Tus-Version", "Tus-Extension", "Tus-Max-Size"} {
		got[name] = r.header.Get(name)
	}
	want := map[string]string{"Tus-Resumable": "1.0.0", "Tus-Version": "1.0.0", "Tus-Extension": "creation,creation-with-upload,termination", "Tus-Max-Size": "1000"}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("headers (-want +got):\n%s", d)
	}
}
