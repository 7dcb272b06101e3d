package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/google/uuid"

	"importer"
	"importer/client"
	"importer/db/dbtest"
	"importer/internal/sample"
)

// A first start, on a machine with Postgres binaries and nothing else.
func TestPrivatePostgresFromNothing(t *testing.T) {
	t.Parallel()
	dir := dataDir(t)
	p := serveProcess(t, nil, "--data-dir", dir)
	file, want := writeCatalogue(t, sample.Options{Rows: 3_000, Repeats: 0.05, Bad: 0.01, Seed: 1})
	checkCounts(t, importFile(t, p, file, client.Upload{}), want)

	t.Run("a second server on the same data directory", func(t *testing.T) {
		code, _, stderr := runProgram(t, nil, "serve", "--addr", "127.0.0.1:0", "--data-dir", dir)
		if code != exitFailed || !strings.Contains(stderr, strconv.Itoa(p.cmd.Process.Pid)) {
			t.Errorf("exit code %d, %q: want %d and the number of the process that holds it, %d", code, stderr, exitFailed, p.cmd.Process.Pid)
		}
	})
	t.Run("a second server on the same port", func(t *testing.T) {
		addr := strings.TrimPrefix(p.url, "http://")
		code, _, stderr := runProgram(t, nil, "serve", "--addr", addr, "--data-dir", dataDir(t))
		if code != exitFailed || !strings.Contains(stderr, addr+" is in use") || !strings.Contains(stderr, "--addr") {
			t.Errorf("exit code %d, %q: want %d and what to do", code, stderr, exitFailed)
		}
	})

	if err := p.stop(); err != nil {
		t.Errorf("stop: %v", err)
	}
	// All is still there, and importing it again changes nothing.
	p = serveProcess(t, nil, "--data-dir", dir)
	again := importFile(t, p, file, client.Upload{})
	if c := again.Counts; c.Created != 0 || c.Updated != 0 || c.Unchanged != int64(want.Created) {
		t.Errorf("the second import of the same file: %+v", c)
	}
}

// kill -9 while the file is read and while it is written: the next start ends
// the import with exact counts.
func TestKilledDuringAnImport(t *testing.T) {
	t.Parallel()
	file, want := writeCatalogue(t, sample.Options{Rows: 150_000, Repeats: 0.05, Bad: 0.001, Seed: 2})
	for name, due := range map[string]func(importer.Import) bool{
		"before the first row is written": func(im importer.Import) bool { return im.Progress.RowsScanned > 0 },
		"while rows are written": func(im importer.Import) bool {
			return im.State == importer.Writing && im.Progress.RowsDone > 0 && im.Progress.RowsDone < im.Progress.RowsTotal
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := dataDir(t)
			p := serveProcess(t, nil, "--data-dir", dir)
			release := holdUp(t, privateURL(t, dir), file, 120_000)
			id := upload(t, p, file)
			at := watchUntil(t, p, id, due)
			p.kill()
			release()
			if at.State.Ended() {
				t.Fatalf("the import had ended before it could be interrupted: %+v", at)
			}

			p = serveProcess(t, []string{"IMPORTER_METRICS_ADDR=127.0.0.1:0"}, "--data-dir", dir)
			im := watchUntil(t, p, id, func(im importer.Import) bool { return im.State.Ended() })
			checkCounts(t, im, want)
			if im.Attempts < 2 {
				t.Errorf("%d attempts: the import was not interrupted", im.Attempts)
			}
			if got := p.scrape().value("importer_import_takeovers_total", "lease", "expired"); got != 1 {
				t.Errorf("%v takeovers counted, want 1", got)
			}
			checkSecondImport(t, p, file, want)
		})
	}
}

// Postgres dies during the write; it is started again and the import goes on.
func TestPostgresKilledDuringAnImport(t *testing.T) {
	t.Parallel()
	file, want := writeCatalogue(t, sample.Options{Rows: 150_000, Repeats: 0.05, Seed: 3})
	dir := dataDir(t)
	p := serveProcess(t, nil, "--data-dir", dir)
	holdUp(t, privateURL(t, dir), file, 120_000) // until Postgres dies
	id := upload(t, p, file)
	watchUntil(t, p, id, func(im importer.Import) bool { return im.Progress.RowsDone > 0 })
	if err := syscall.Kill(postmaster(t, dir), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	im := watchUntil(t, p, id, func(im importer.Import) bool { return im.State.Ended() })
	checkCounts(t, im, want)
	checkSecondImport(t, p, file, want)
}

// Two files with the same SKUs in opposite order, at once.
func TestOverlappingImports(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	const rows = 60_000
	forth, back := filepath.Join(dir, "forth.csv"), filepath.Join(dir, "back.csv")
	var a, b bytes.Buffer
	a.WriteString("sku,name\n")
	b.WriteString("name,sku\n")
	for i := range rows {
		fmt.Fprintf(&a, "SKU-%d,forth %d\n", i, i)
		fmt.Fprintf(&b, "back %d,sku-%d\n", i, rows-1-i)
	}
	for name, content := range map[string][]byte{forth: a.Bytes(), back: b.Bytes()} {
		if err := os.WriteFile(name, content, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	p := serveProcess(t, []string{"DATABASE_URL=" + dbtest.URL(t)}, "--data-dir", t.TempDir())
	ids := []uuid.UUID{upload(t, p, forth), upload(t, p, back)}
	var sum importer.Counts
	for _, id := range ids {
		im := watchUntil(t, p, id, func(im importer.Import) bool { return im.State.Ended() })
		if im.State != importer.Completed || im.Counts.Written() != rows {
			t.Fatalf("%s: %s %+v %+v", im.Filename, im.State, im.Counts, im.Error)
		}
		sum.Created += im.Counts.Created
		sum.Updated += im.Counts.Updated
	}
	// Whoever comes first to a SKU creates it, the other one updates it.
	if sum.Created != rows || sum.Updated != rows {
		t.Errorf("together %d created and %d updated, want %d of each", sum.Created, sum.Updated, rows)
	}
}

func TestFilesThatCannotBeImported(t *testing.T) {
	t.Parallel()
	p := serveProcess(t, []string{"DATABASE_URL=" + dbtest.URL(t)}, "--data-dir", t.TempDir(), "--max-upload-bytes", "100000")

	t.Run("a picture", func(t *testing.T) {
		im := post(t, p, "photo.csv", []byte("\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR"))
		im = watchUntil(t, p, im.ID, func(im importer.Import) bool { return im.State.Ended() })
		if im.State != importer.Failed || im.Error.Code != importer.UnsupportedFormat || !strings.Contains(im.Error.Message, "PNG") {
			t.Errorf("got %s %+v", im.State, im.Error)
		}
	})
	t.Run("3 GiB announced", func(t *testing.T) {
		conn, answer := rawPost(t, p, "Content-Length: 3221225472")
		defer conn.Close()
		checkTooLarge(t, answer)
	})
	t.Run("more than the limit, unannounced", func(t *testing.T) {
		resp, err := http.Post(p.url+"/api/imports?filename=big.csv", "text/csv", io.MultiReader(strings.NewReader("sku,name\n"), strings.NewReader(strings.Repeat("A,b\n", 50_000))))
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		checkTooLarge(t, resp)
	})
	t.Run("a small file that unpacks to too much", func(t *testing.T) {
		im := post(t, p, "bomb.csv.gz", gzipped(t, append([]byte("sku,name\n"), bytes.Repeat([]byte("A,b\n"), 1_000_000)...)))
		im = watchUntil(t, p, im.ID, func(im importer.Import) bool { return im.State.Ended() })
		if im.State != importer.Failed || im.Error.Code != importer.TooLarge {
			t.Errorf("got %s %+v", im.State, im.Error)
		}
	})
	t.Run("cut in the middle", func(t *testing.T) {
		conn, _ := net.Dial("tcp", strings.TrimPrefix(p.url, "http://"))
		fmt.Fprintf(conn, "POST /api/imports?filename=cut.csv HTTP/1.1\r\nHost: localhost\r\nContent-Length: 50000\r\n\r\nsku,name\nA-1,One\n")
		var id uuid.UUID
		eventually(t, "the upload is listed", func() bool {
			list, err := p.client.Imports(t.Context(), importer.ImportPage{States: []importer.State{importer.Uploading}, Limit: 10})
			if err != nil {
				t.Fatal(err)
			}
			for _, im := range list.Items {
				if im.Filename == "cut.csv" {
					id = im.ID
				}
			}
			return id != uuid.Nil
		})
		conn.Close()
		im := watchUntil(t, p, id, func(im importer.Import) bool { return im.State.Ended() })
		if im.State != importer.Failed || im.Error.Code != importer.UploadIncomplete || im.Error.Retry {
			t.Errorf("got %s %+v", im.State, im.Error)
		}
	})

	list, err := p.client.Imports(t.Context(), importer.ImportPage{States: []importer.State{importer.Completed}, Limit: 10})
	if err != nil || list.Total != 0 {
		t.Errorf("%d imports completed, %v: want none", list.Total, err)
	}
}

func checkTooLarge(t *testing.T, answer *http.Response) {
	t.Helper()
	var p struct {
		Code   importer.Code
		Detail string
	}
	if err := json.NewDecoder(answer.Body).Decode(&p); err != nil {
		t.Fatal(err)
	}
	if answer.StatusCode != http.StatusRequestEntityTooLarge || p.Code != importer.TooLarge || p.Detail == "" {
		t.Errorf("got %s %+v", answer.Status, p)
	}
}

// rawPost sends the head of an upload and reads the answer.
func rawPost(t *testing.T, p *process, header string) (net.Conn, *http.Response) {
	t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(p.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(conn, "POST /api/imports?filename=x.csv HTTP/1.1\r\nHost: localhost\r\n%s\r\n\r\n", header)
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	return conn, resp
}

// post uploads a body as curl -T does.
func post(t *testing.T, p *process, name string, body []byte) (im importer.Import) {
	t.Helper()
	resp, err := http.Post(p.url+"/api/imports?filename="+name, "text/csv", bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if err := json.NewDecoder(resp.Body).Decode(&im); err != nil || resp.StatusCode != http.StatusAccepted {
		t.Fatalf("%s %v", resp.Status, err)
	}
	if got, want := resp.Header.Get("Location"), "/api/imports/"+im.ID.String(); got != want {
		t.Errorf("Location: got %q, want %q", got, want)
	}
	return im
}

func writeCatalogue(t *testing.T, o sample.Options) (file string, want sample.Counts) {
	t.Helper()
	file = filepath.Join(t.TempDir(), "catalogue.csv")
	want, err := writeSample(file, o)
	if err != nil {
		t.Fatal(err)
	}
	return file, want
}

func upload(t *testing.T, p *process, file string) uuid.UUID {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	id, err := p.client.Upload(t.Context(), f, client.Upload{Filename: filepath.Base(file), Size: info.Size()})
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// watchUntil follows an import until it is as wanted or has ended.
func watchUntil(t *testing.T, p *process, id uuid.UUID, wanted func(importer.Import) bool) (im importer.Import) {
	t.Helper()
	for im, err := range p.client.WatchImport(t.Context(), id) {
		if err != nil {
			t.Fatal(err)
		}
		if wanted(im) || im.State.Ended() {
			return im
		}
	}
	t.Fatal("the stream ended")
	return im
}

func checkCounts(t *testing.T, im importer.Import, want sample.Counts) {
	t.Helper()
	w := importer.Counts{Rows: int64(want.Rows), Created: int64(want.Created), Duplicates: int64(want.Duplicates), Rejected: int64(want.Rejected)}
	if im.State != importer.Completed || im.Counts != w {
		t.Fatalf("got %s %+v (%+v), want completed %+v", im.State, im.Counts, im.Error, w)
	}
}

// checkSecondImport proves by importing again that what is in the catalogue is
// what the file says.
func checkSecondImport(t *testing.T, p *process, file string, want sample.Counts) {
	t.Helper()
	im := importFile(t, p, file, client.Upload{})
	if c := im.Counts; c.Created != 0 || c.Updated != 0 || c.Unchanged != int64(want.Created) {
		t.Errorf("importing the same file again: %+v, want %d unchanged", c, want.Created)
	}
}

// privateURL reaches the private Postgres as the server does.
func privateURL(t testing.TB, dataDir string) string {
	t.Helper()
	return "host=" + postmasterFile(t, dataDir)[4] + " user=importer dbname=importer"
}

// postmaster is the process id of the private Postgres.
func postmaster(t testing.TB, dataDir string) int {
	t.Helper()
	pid, err := strconv.Atoi(postmasterFile(t, dataDir)[0])
	if err != nil {
		t.Fatal(err)
	}
	return pid
}

// postmasterFile is what a running Postgres says of itself: its process id in
// the first line, the directory of its socket in the fifth.
func postmasterFile(t testing.TB, dataDir string) []string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(dataDir, "postgres", "data", "postmaster.pid"))
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(string(b), "\n")
	if len(lines) < 5 {
		t.Fatalf("postmaster.pid holds %q", b)
	}
	return lines
}
