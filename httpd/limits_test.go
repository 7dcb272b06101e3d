package httpd_test

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"importer"
	"importer/httpd"
)

// Headers that trickle in hold a connection until HeaderTime, and nobody up.
func TestSlowHeaders(t *testing.T) {
	t.Parallel()
	b := setup(t, func(o *httpd.Options) { o.HeaderTime = 300 * time.Millisecond })
	l := b.listen()
	b.serve(l)
	addr := l.Addr().String()
	const clients = 50
	ended := make(chan error, clients)
	for range clients {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		go func() {
			for _, text := range []string{"GET /api/products HTTP/1.1\r\n", "Host: localhost\r\n"} {
				_, _ = io.WriteString(c, text)
			}
			over := make(chan error, 1)
			go func() {
				_, err := io.Copy(io.Discard, c)
				over <- errors.Join(errors.New("over"), err)
			}()
			tick := time.NewTicker(20 * time.Millisecond)
			defer tick.Stop()
			for {
				select {
				case err := <-over:
					ended <- err
					return
				case <-tick.C: // as long as the server likes
					_, _ = io.WriteString(c, "X-A: b\r\n")
				}
			}
		}()
	}
	resp, err := http.Get("http://" + addr + "/api/products")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != 200 {
		t.Errorf("somebody else gets %d", resp.StatusCode)
	}
	for range clients {
		<-ended // a server that goes on waiting makes the test hang
	}
}

// A body of JSON that does not arrive is not waited for.
func TestSlowBody(t *testing.T) {
	t.Parallel()
	b := setup(t, func(o *httpd.Options) { o.AnswerTime = 300 * time.Millisecond })
	c := b.dial()
	fmt.Fprintf(c, "POST /api/products HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n{")
	if _, err := io.Copy(io.Discard, c); err != nil {
		t.Logf("it ends with %v", err)
	}
	if page, err := b.products.Products(t.Context(), importer.ProductQuery{}); err != nil || page.Total != 0 {
		t.Errorf("%d products, %v", page.Total, err)
	}
}

// Who asks for a long answer and does not take it is cut off, and the walk
// through the catalogue ends with it.
func TestSlowReaderOfAnExport(t *testing.T) {
	t.Parallel()
	b := setup(t, func(o *httpd.Options) { o.AnswerTime = 300 * time.Millisecond })
	ended := make(chan error, 1)
	b.products.each = func(f func(importer.Product) error) error {
		for {
			if err := f(importer.Product{SKU: "a", Description: strings.Repeat("x", 100_000)}); err != nil {
				ended <- err
				return err
			}
		}
	}
	c := b.dial()
	fmt.Fprintf(c, "GET /api/products/export.csv HTTP/1.1\r\nHost: localhost\r\n\r\n")
	if err := <-ended; !strings.Contains(err.Error(), "timeout") {
		t.Errorf("it ends with %v", err)
	}
}

// sent counts what a client could get rid of.
type sent struct {
	left  int64
	bytes atomic.Int64
}

func (s *sent) Read(p []byte) (int, error) {
	if s.bytes.Load() >= s.left {
		return 0, io.EOF
	}
	n := min(int64(len(p)), s.left-s.bytes.Load())
	for i := range p[:n] {
		p[i] = 'x'
	}
	s.bytes.Add(n)
	return int(n), nil
}

// 3 GiB where less is allowed: the rest is not read, whether the length was
// told before or not. What net/http and the kernel have taken meanwhile does
// not count.
func TestBodiesThatAreTooLarge(t *testing.T) {
	t.Parallel()
	const whole, read = int64(3) << 30, 64 << 20
	b := setup(t, func(o *httpd.Options) { o.MaxUpload = 8 << 20 })
	for _, c := range []struct {
		name, method, path, kind string
		told                     bool
	}{
		{"upload", "POST", "/api/imports", "text/csv", true},
		{"upload without a length", "POST", "/api/imports", "text/csv", false},
		{"product", "POST", "/api/products", "application/json", true},
		{"product without a length", "POST", "/api/products", "application/json", false},
		{"sign-in", "POST", "/api/session", "application/json", false},
		{"part of an upload", "PATCH", "/api/uploads/" + uuid.NewString(), "application/offset+octet-stream", false},
		{"where nothing is", "POST", "/api/nothing", "text/plain", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			body := &sent{left: whole}
			req, err := http.NewRequestWithContext(t.Context(), c.method, b.url+c.path, body)
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Content-Type", c.kind)
			req.Header.Set("Tus-Resumable", "1.0.0")
			req.Header.Set("Upload-Offset", "0")
			req.ContentLength = -1
			if c.told {
				req.ContentLength = whole
			}
			resp, err := b.client.Do(req)
			if err == nil {
				_, _ = io.Copy(io.Discard, resp.Body)
				resp.Body.Close()
				if want := resp.StatusCode == 413 || resp.StatusCode == 404; !want {
					t.Errorf("got %d", resp.StatusCode)
				}
			} else {
				t.Logf("the connection ends while the client sends: %v", err) // and it never looks for the answer
			}
			if got := body.bytes.Load(); got > read {
				t.Errorf("the server took %d MiB", got>>20)
			}
		})
	}
	b.nothingLeft()
}

// Ten thousand subscriptions: a socket has 64, a client 20 sockets, and who
// asks faster than they are meant for is sent away.
func TestTenThousandSubscriptions(t *testing.T) {
	t.Parallel()
	b := setup(t, func(o *httpd.Options) { o.Socket.PerLoopback, o.Socket.Burst = 20, 100 })
	held := 0
	for range 20 {
		p := b.connect()
		for i := range 100 {
			p.send(fmt.Sprintf(`{"type":"subscribe","id":%d,"topic":%q}`, i+1, importer.ImportTopic(uuid.New())))
		}
		for range 100 {
			switch got := p.next(); {
			case strings.HasPrefix(got, `{"type":"subscribed"`):
				held++
			case !strings.Contains(got, `"code":"limited"`):
				t.Fatalf("got %s", got)
			}
		}
	}
	if want := 20 * 64; held != want {
		t.Errorf("one client holds %d subscriptions, want %d", held, want)
	}
	b.dialSocket("/ws").wantClose(4504)

	b = setup(t)
	p := b.connect()
	go func() {
		for i := range 10_000 {
			if p.ws.Write(t.Context(), 1, fmt.Appendf(nil, `{"type":"subscribe","id":%d,"topic":"imports"}`, i+1)) != nil {
				return
			}
		}
	}()
	p.wantClose(4003)
}
