package httpd_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/rs/zerolog"
	"go.uber.org/goleak"

	"importer"
	"importer/db/dbtest"
	"importer/httpd"
	"importer/internal/spool"
)

func TestMain(m *testing.M) {
	if spec := os.Getenv(swarmEnv); spec != "" {
		if err := swarmMain(spec); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	if os.Getenv(fullDiskChild) != "" {
		m.Run() // without a database: its files would not fit
		return
	}
	dbtest.Main(m)
	if err := goleak.Find(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// bench is one server on a real socket, over a real spool and fakes of the
// other ports.
type bench struct {
	t        *testing.T
	url      string
	server   *httpd.Server
	store    *fakeStore
	products *fakeProducts
	events   *fakeEvents
	status   *fakeStatus
	importer *fakeImporter
	sender   *fakeSender
	hub      *fakeHub
	access   *fakeAccess
	spool    importer.Spool
	dir      string // the spool's
	client   *http.Client
}

func setup(t *testing.T, change ...func(*httpd.Options)) *bench {
	t.Helper()
	b := &bench{t: t, store: newFakeStore(), products: newFakeProducts(), events: &fakeEvents{}, status: &fakeStatus{StoreStatus: importer.StoreStatus{Imports: map[importer.State]int64{}}}, importer: newFakeImporter(), sender: &fakeSender{}, hub: newFakeHub(), access: newFakeAccess(), dir: t.TempDir()}
	files, err := spool.Open(b.dir)
	if err != nil {
		t.Fatal(err)
	}
	b.spool = files
	o := httpd.Options{
		Imports: b.store, Products: b.products, Events: b.events, Status: b.status, Importer: b.importer, Hub: b.hub, Webhooks: noWebhooks{}, WebhookSender: b.sender, Access: b.access, Spool: b.spool, Node: uuid.New(),
		MaxUpload: 64 << 20, Version: "test", Log: zerolog.New(zerolog.NewTestWriter(t)),
	}
	for _, f := range change {
		f(&o)
	}
	b.spool = o.Spool
	if b.server, err = httpd.New(o); err != nil {
		t.Fatal(err)
	}
	live := httptest.NewServer(b.server.Handler())
	b.url = live.URL
	b.client = &http.Client{Transport: &documented{t, live.Client().Transport}}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		if err := b.server.Shutdown(ctx); err != nil {
			t.Errorf("shutdown: %v", err)
		}
		b.client.CloseIdleConnections()
		live.CloseClientConnections()
		live.Close()
	})
	return b
}

// reply is an answer read to its end.
type reply struct {
	status int
	header http.Header
	body   []byte
}

func (b *bench) do(method, path string, body io.Reader, header ...string) reply {
	b.t.Helper()
	req, err := http.NewRequestWithContext(b.t.Context(), method, b.url+path, body)
	if err != nil {
		b.t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := b.client.Do(req)
	if err != nil {
		b.t.Fatal(err)
	}
	defer resp.Body.Close()
	content, err := io.ReadAll(resp.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	return reply{resp.StatusCode, resp.Header, content}
}

// decode reads a JSON answer and fails on any other status.
func decode[T any](b *bench, r reply, status int) T {
	b.t.Helper()
	var v T
	if r.status != status {
		b.t.Fatalf("got status %d, want %d: %s", r.status, status, r.body)
	}
	if err := json.Unmarshal(r.body, &v); err != nil {
		b.t.Fatalf("answer is no JSON: %v: %s", err, r.body)
	}
	return v
}

// problem checks that an answer is a problem of a kind.
func (b *bench) problem(r reply, status int, code importer.Code) httpd.Problem {
	b.t.Helper()
	p := decode[httpd.Problem](b, r, status)
	if got := r.header.Get("Content-Type"); got != "application/problem+json" {
		b.t.Errorf("got content type %q, want a problem", got)
	}
	if p.Code != code || p.Status != status || p.Detail == "" {
		b.t.Errorf("got problem %+v, want code %q, status %d and a detail", p, code, status)
	}
	return p
}

// dial opens a bare connection, for what http.Client would not send.
func (b *bench) dial() net.Conn {
	b.t.Helper()
	c, err := net.Dial("tcp", b.url[len("http://"):])
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { c.Close() })
	return c
}

// stored is what the spool holds of an import.
func (b *bench) stored(id uuid.UUID) []byte {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.t.Context(), 5*time.Second)
	defer cancel()
	r, err := b.spool.Open(ctx, id)
	if err != nil {
		b.t.Fatal(err)
	}
	defer r.Close()
	content, err := io.ReadAll(r)
	if err != nil {
		b.t.Fatal(err)
	}
	return content
}

// nothingLeft checks that the spool is empty.
func (b *bench) nothingLeft() {
	b.t.Helper()
	eventually(b.t, "an empty spool", func() bool {
		entries, err := os.ReadDir(b.dir)
		return err == nil && len(entries) == 0
	})
}

// eventually polls a condition until a generous deadline.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	if !poll(ok) {
		t.Fatalf("waited in vain for %s", what)
	}
}

// poll is for other goroutines than the test's, which may not end it.
func poll(ok func() bool) bool {
	for deadline := time.Now().Add(10 * time.Second); !ok(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			return false
		}
	}
	return true
}

func csv(rows int) []byte {
	var b bytes.Buffer
	b.WriteString("sku,name,description\n")
	for i := range rows {
		b.WriteString("SKU-")
		b.WriteString(uuid.NewSHA1(uuid.Nil, []byte{byte(i), byte(i >> 8), byte(i >> 16)}).String())
		b.WriteString(",Name,Some words about it\n")
	}
	return b.Bytes()
}
