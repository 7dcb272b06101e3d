package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/uuid"

	"importer"
	"importer/db/dbtest"
	"importer/internal/sample"
	"importer/internal/spool/s3test"
)

// machinesWithBucket starts two that share a database and a bucket, and nothing
// else.
func machinesWithBucket(t *testing.T) (storage *s3test.Server, databaseURL string, a, b *process) {
	t.Helper()
	storage, databaseURL = objectStorage(t), dbtest.URL(t)
	env := append(storage.Env(), "DATABASE_URL="+databaseURL, "IMPORTER_METRICS_ADDR=127.0.0.1:0")
	machine := func() *process { return serveProcess(t, env, "--data-dir", t.TempDir()) }
	return storage, databaseURL, machine(), machine()
}

// A machine dies while it reads a file, or while it writes, and its disk with
// it. The other one ends the import with exact counts.
func TestOtherMachineTakesOver(t *testing.T) {
	t.Parallel()
	file, want := writeCatalogue(t, sample.Options{Rows: 150_000, Repeats: 0.05, Bad: 0.001, Seed: 21})
	for name, due := range map[string]func(importer.Import) bool{
		"before the first row is written": func(im importer.Import) bool { return im.Progress.RowsScanned > 0 },
		"while rows are written": func(im importer.Import) bool {
			return im.State == importer.Writing && im.Progress.RowsDone > 0 && im.Progress.RowsDone < im.Progress.RowsTotal
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			storage, url, a, b := machinesWithBucket(t)
			release := holdUp(t, url, file, 120_000)
			id := upload(t, a, file)
			at := watchUntil(t, a, id, due)
			a.kill()
			release()
			if at.State.Ended() {
				t.Fatalf("the import had ended before it could be interrupted: %+v", at)
			}
			im := watchUntil(t, b, id, func(im importer.Import) bool { return im.State.Ended() })
			checkCounts(t, im, want)
			if im.Attempts < 2 {
				t.Errorf("%d attempts: the import was not interrupted", im.Attempts)
			}
			if got := b.scrape().value("importer_import_takeovers_total", "lease", "expired"); got > 1 {
				t.Errorf("%v takeovers counted, want one at most", got)
			}
			checkSecondImport(t, b, file, want)
			eventually(t, "nothing is left in the bucket", func() bool { return len(storage.Keys(t)) == 0 })
		})
	}
}

// Every part of an upload may reach another machine, as behind a proxy that
// spreads requests, and the last one dies with half a part.
func TestUploadGoesOnAtOtherMachine(t *testing.T) {
	t.Parallel()
	file, want := writeCatalogue(t, sample.Options{Rows: 150_000, Repeats: 0.05, Bad: 0.001, Seed: 22})
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	_, _, a, b := machinesWithBucket(t)
	up := newTusUpload(t, a, content)
	const part = 1 << 20
	if len(content) < 11*part {
		t.Fatalf("the file has %d bytes, too few for more than a chunk in the last part", len(content))
	}
	turns := []*process{a, b}
	for i := 0; up.offset(t, turns[i%2]) < 6*part; i++ {
		up.patch(t, turns[i%2], int64(i*part), content[i*part:(i+1)*part])
	}
	// B has the last part, and A, which watches over the import, hears of it.
	eventually(t, "the last part is seen to have arrived", func() bool {
		im, err := a.client.Import(t.Context(), up.id)
		return err == nil && im.Progress.Bytes > 5*part
	})
	// A is in the middle of a part of which some is safe.
	in, out := io.Pipe()
	cut := make(chan error, 1)
	go func() {
		resp, err := http.DefaultClient.Do(up.request(t, a, 6*part, in, -1))
		if err == nil {
			resp.Body.Close()
		}
		cut <- err
	}()
	if _, err := out.Write(content[6*part : len(content)-100]); err != nil {
		t.Fatal(err)
	}
	eventually(t, "some of the part is safe", func() bool { return up.offset(t, b) > 6*part })
	a.kill()
	out.Close()
	<-cut
	offset := up.offset(t, b)
	up.patch(t, b, offset, content[offset:])
	im := watchUntil(t, b, up.id, func(im importer.Import) bool { return im.State.Ended() })
	checkCounts(t, im, want)
}

// tusUpload speaks tus to whichever machine.
type tusUpload struct {
	id   uuid.UUID
	size int
}

func newTusUpload(t *testing.T, p *process, content []byte) *tusUpload {
	t.Helper()
	up := &tusUpload{size: len(content)}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, p.url+"/api/uploads", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Tus-Resumable", "1.0.0")
	req.Header.Set("Upload-Length", strconv.Itoa(up.size))
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	at := resp.Header.Get("Location")
	if up.id, err = uuid.Parse(at[strings.LastIndex(at, "/")+1:]); err != nil || resp.StatusCode != http.StatusCreated {
		t.Fatalf("%s, at %q: %v", resp.Status, at, err)
	}
	return up
}

func (u *tusUpload) request(t *testing.T, p *process, offset int64, body io.Reader, length int64) *http.Request {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPatch, p.url+"/api/uploads/"+u.id.String(), body)
	if err != nil {
		t.Fatal(err)
	}
	req.ContentLength = length
	req.Header.Set("Tus-Resumable", "1.0.0")
	req.Header.Set("Content-Type", "application/offset+octet-stream")
	req.Header.Set("Upload-Offset", strconv.FormatInt(offset, 10))
	return req
}

func (u *tusUpload) patch(t *testing.T, p *process, offset int64, part []byte) {
	t.Helper()
	resp, err := http.DefaultClient.Do(u.request(t, p, offset, bytes.NewReader(part), int64(len(part))))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	answer, _ := io.ReadAll(resp.Body)
	if got, want := resp.Header.Get("Upload-Offset"), fmt.Sprint(offset+int64(len(part))); got != want {
		t.Fatalf("%s, offset %s, want %s: %s", resp.Status, got, want, answer)
	}
}

func (u *tusUpload) offset(t *testing.T, p *process) int64 {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodHead, p.url+"/api/uploads/"+u.id.String(), http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Tus-Resumable", "1.0.0")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	offset, err := strconv.ParseInt(resp.Header.Get("Upload-Offset"), 10, 64)
	if err != nil {
		t.Fatalf("%s: %v", resp.Status, err)
	}
	return offset
}

// An import fails on a machine that cannot read its file any more. The other
// one takes it up again where the ledger ends.
func TestRetryOnOtherMachine(t *testing.T) {
	t.Parallel()
	file, want := writeCatalogue(t, sample.Options{Rows: 60_000, Repeats: 0.05, Seed: 23})
	storage, _, a, b := machinesWithBucket(t)
	var whole atomic.Bool
	storage.Through(func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodGet && strings.HasSuffix(r.URL.Path, "/0000000000000000") && whole.Load() {
				w.WriteHeader(http.StatusForbidden)
				return
			}
			next.ServeHTTP(w, r)
			if strings.HasSuffix(r.URL.Path, "/sealed") {
				whole.Store(true)
			}
		})
	})
	id := upload(t, a, file)
	im := watchUntil(t, a, id, func(im importer.Import) bool { return im.State.Ended() })
	if im.State != importer.Failed || im.Error == nil || !im.Error.Retry || !strings.Contains(im.Error.Message, "AWS_ACCESS_KEY_ID") {
		t.Fatalf("got %s %+v, want a failure that names the setting", im.State, im.Error)
	}
	a.kill()
	storage.Through(nil)
	if _, err := b.client.RetryImport(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	im = watchUntil(t, b, id, func(im importer.Import) bool { return im.State.Ended() })
	checkCounts(t, im, want)
}

// A cancel reaches the machine where the file still arrives.
func TestCancelOnOtherMachine(t *testing.T) {
	t.Parallel()
	storage, _, a, b := machinesWithBucket(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	in, out := io.Pipe()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, a.url+"/api/imports?filename=endless.csv", in)
	if err != nil {
		t.Fatal(err)
	}
	answered := make(chan *http.Response, 1)
	go func() {
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Error(err)
			close(answered)
			return
		}
		answered <- resp
	}()
	go func() { // until the server has enough
		line := bytes.Repeat([]byte("SKU-1,One of many\n"), 10_000)
		_, err := out.Write([]byte("sku,name\n"))
		for err == nil {
			_, err = out.Write(line)
		}
	}()
	var id uuid.UUID
	eventually(t, "some of the file has arrived", func() bool {
		list, err := b.client.Imports(t.Context(), importer.ImportPage{States: []importer.State{importer.Uploading}, Limit: 1})
		if err != nil || len(list.Items) == 0 {
			return false
		}
		id = list.Items[0].ID
		return len(storage.Keys(t)) > 2
	})
	if _, err := b.client.CancelImport(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	resp, ok := <-answered
	if !ok {
		t.FailNow()
	}
	defer resp.Body.Close()
	if answer, _ := io.ReadAll(resp.Body); resp.StatusCode != http.StatusConflict || !strings.Contains(string(answer), "cancelled") {
		t.Errorf("%s: %s", resp.Status, answer)
	}
	eventually(t, "nothing is left in the bucket", func() bool { return len(storage.Keys(t)) == 0 })
	if im, err := a.client.Import(t.Context(), id); err != nil || im.State != importer.Cancelled {
		t.Errorf("the import is %s (%v)", im.State, err)
	}
}
