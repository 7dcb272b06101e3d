package actors

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"importer"
	ssrf "importer/internal/guard"
)

const aSecret, anotherSecret = "whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=", "whsec_OTg3NjU0MzIxMDk4NzY1NDMyMTA5ODc2NTQzMjEwOTg="

// hostile is a receiver that does everything wrong, by path.
func hostile(t *testing.T) *httptest.Server {
	t.Helper()
	mux := http.NewServeMux()
	bomb := gzipped(t, 64<<20)
	hijacked := func(f func(c *net.TCPConn)) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			c, _, err := w.(http.Hijacker).Hijack()
			if err != nil {
				t.Error(err)
				return
			}
			defer c.Close()
			f(c.(*net.TCPConn))
		}
	}
	mux.HandleFunc("/fine", func(w http.ResponseWriter, r *http.Request) {
		http.SetCookie(w, &http.Cookie{Name: "a", Value: "b"})
		fmt.Fprintf(w, "cookies %d, encoding %q", len(r.Cookies()), r.Header.Get("Accept-Encoding"))
	})
	mux.HandleFunc("/redirect", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "http://169.254.169.254/latest/meta-data/", http.StatusTemporaryRedirect)
	})
	mux.HandleFunc("/gone", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(410) })
	mux.HandleFunc("/huge", func(w http.ResponseWriter, _ *http.Request) {
		part := make([]byte, 1<<20)
		for range 64 {
			if _, err := w.Write(part); err != nil {
				return
			}
		}
	})
	mux.HandleFunc("/bomb", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Encoding", "gzip")
		_, _ = w.Write(bomb)
	})
	mux.HandleFunc("/hang", func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // only then does net/http see that the client is gone
		<-r.Context().Done()
	})
	drip := func(status int) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			w.WriteHeader(status)
			for {
				_, err := io.WriteString(w, ".")
				w.(http.Flusher).Flush()
				select {
				case <-r.Context().Done():
					return
				case <-time.After(20 * time.Millisecond):
				}
				if err != nil {
					return
				}
			}
		}
	}
	mux.HandleFunc("/drip", drip(200))
	mux.HandleFunc("/drip500", drip(500))
	mux.HandleFunc("/headers", func(w http.ResponseWriter, _ *http.Request) {
		for range 64 {
			w.Header().Add("X-Fill", strings.Repeat("a", 1000))
		}
	})
	mux.HandleFunc("/reset", hijacked(func(c *net.TCPConn) { _ = c.SetLinger(0) }))
	mux.HandleFunc("/close", hijacked(func(*net.TCPConn) {}))
	mux.HandleFunc("/garbage", hijacked(func(c *net.TCPConn) { _, _ = io.WriteString(c, "220 mail.example ESMTP\r\n\r\n") }))
	half := func(status string) http.HandlerFunc {
		return hijacked(func(c *net.TCPConn) {
			fmt.Fprintf(c, "HTTP/1.1 %s\r\nContent-Length: 100\r\n\r\nhalf\xff\x00", status)
		})
	}
	mux.HandleFunc("/half200", half("200 OK"))
	mux.HandleFunc("/half500", half("500 Oops"))
	mux.HandleFunc("/later", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", "7")
		w.WriteHeader(429)
	})
	s := httptest.NewServer(mux)
	t.Cleanup(s.Close)
	return s
}

// gzipped is n zero bytes, compressed a thousandfold.
func gzipped(t *testing.T, n int) []byte {
	t.Helper()
	var buf bytes.Buffer
	z := gzip.NewWriter(&buf)
	if _, err := z.Write(make([]byte, n)); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

func clientFor(t *testing.T, o ssrf.Options) webhookClient {
	t.Helper()
	transport := ssrf.Transport(o)
	t.Cleanup(transport.CloseIdleConnections)
	return newWebhookClient(transport, time.Now)
}

func targetOf(url string) importer.WebhookTarget {
	return importer.WebhookTarget{URL: url, Secrets: []string{aSecret}, Timeout: 500 * time.Millisecond}
}

func TestAnswersOfHostileReceivers(t *testing.T) {
	t.Parallel()
	s := hostile(t)
	w := clientFor(t, ssrf.Options{AllowPrivate: true})
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed.Close()
	secure := httptest.NewTLSServer(http.NotFoundHandler())
	t.Cleanup(secure.Close)
	for _, c := range []struct {
		url    string
		status int
		class  string
		says   string // the answer begins so
	}{
		{s.URL + "/fine", 200, "", `cookies 0, encoding ""`},
		{s.URL + "/fine", 200, "", `cookies 0, encoding ""`}, // again: no cookie was kept
		{s.URL + "/redirect", 307, importer.AttemptRedirect, ""},
		{s.URL + "/gone", 410, importer.AttemptStatus, ""},
		{s.URL + "/nowhere", 404, importer.AttemptStatus, "404 page not found"},
		{s.URL + "/huge", 200, "", "\x00"},
		{s.URL + "/bomb", 200, "", "\x1f"},
		{s.URL + "/hang", 0, importer.AttemptTimeout, ""},
		{s.URL + "/drip", 200, "", "."},
		{s.URL + "/drip500", 500, importer.AttemptStatus, "."},
		{s.URL + "/headers", 0, importer.AttemptBadReply, ""},
		{s.URL + "/reset", 0, importer.AttemptReset, ""},
		{s.URL + "/close", 0, importer.AttemptReset, ""},
		{s.URL + "/garbage", 0, importer.AttemptBadReply, ""},
		{s.URL + "/half200", 200, "", "half"},
		{s.URL + "/half500", 500, importer.AttemptStatus, "half"},
		{s.URL + "/later", 429, importer.AttemptStatus, ""},
		{secure.URL, 0, importer.AttemptTLS, ""},
		{strings.Replace(s.URL, "http:", "https:", 1), 0, importer.AttemptTLS, ""},
		{"http://" + closed.Addr().String(), 0, importer.AttemptRefused, ""},
		{"http://nobody.invalid/", 0, importer.AttemptDNS, ""},
	} {
		a, err := w.post(t.Context(), targetOf(c.url), "msg_1", []byte("{}"))
		if err != nil {
			t.Errorf("%s: %v", c.url, err)
			continue
		}
		if a.Status != c.status || a.Error != c.class || a.OK != (c.class == "") || !strings.HasPrefix(a.Response, c.says) || len(a.Response) > 3*maxResponse {
			t.Errorf("%s: %d %q %v %.30q (%d bytes), want %d %q", c.url, a.Status, a.Error, a.OK, a.Response, len(a.Response), c.status, c.class)
		}
		if a.took <= 0 || c.status != 0 && a.RemoteIP != "127.0.0.1" {
			t.Errorf("%s: %v, from %q", c.url, a.took, a.RemoteIP)
		}
	}
	if a, _ := w.post(t.Context(), targetOf(s.URL+"/later"), "msg_1", []byte("{}")); a.retryAfter != 7*time.Second {
		t.Errorf("Retry-After 7: %v", a.retryAfter)
	}
	if a, err := clientFor(t, ssrf.Options{}).post(t.Context(), targetOf(s.URL+"/fine"), "msg_1", []byte("{}")); err != nil || a.Error != importer.AttemptBlocked || a.RemoteIP != "" {
		t.Errorf("a private address: %+v, %v", a, err)
	}
}

// TestLongAnswersTakeLittleMemory reads what is kept and no more.
func TestLongAnswersTakeLittleMemory(t *testing.T) {
	s := hostile(t)
	w := clientFor(t, ssrf.Options{AllowPrivate: true})
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for _, path := range []string{"/huge", "/bomb", "/headers", "/huge", "/bomb"} {
		if _, err := w.post(t.Context(), targetOf(s.URL+path), "msg_1", []byte("{}")); err != nil {
			t.Error(err)
		}
	}
	runtime.ReadMemStats(&after)
	// The receiver's own parts of 1 MiB are in it.
	if grown := after.TotalAlloc - before.TotalAlloc; grown > 16<<20 {
		t.Errorf("%d KiB were allocated", grown>>10)
	}
}

// TestSignatures checks them with the official library.
func TestSignatures(t *testing.T) {
	t.Parallel()
	body := []byte(`{"type":"import.completed","data":{"name":"<&> ünïcode"}}`)
	got := make(chan http.Header, 1)
	s := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		content, err := io.ReadAll(r.Body)
		if err != nil || string(content) != string(body) || r.Method != http.MethodPost {
			t.Errorf("%s %q, %v", r.Method, content, err)
		}
		got <- r.Header
	}))
	t.Cleanup(s.Close)
	to := targetOf(s.URL)
	to.Secrets = []string{aSecret, anotherSecret}
	to.Headers = map[string]string{"authorization": "Bearer tell-nobody", "X-Shop": "1"}
	a, err := clientFor(t, ssrf.Options{AllowPrivate: true}).post(t.Context(), to, "msg_1", body)
	if err != nil || !a.OK {
		t.Fatalf("%+v, %v", a, err)
	}
	header := <-got
	for _, secret := range to.Secrets {
		w, err := standardwebhooks.NewWebhook(secret)
		if err != nil {
			t.Fatal(err)
		}
		if err := w.Verify(body, header); err != nil {
			t.Errorf("%s: %v", secret, err)
		}
		if w.Verify(append(body, ' '), header) == nil {
			t.Error("another body is accepted")
		}
	}
	if header.Get("Authorization") != "Bearer tell-nobody" || header.Get("X-Shop") != "1" || header.Get("Content-Type") != "application/json" || header.Get("User-Agent") != userAgent {
		t.Errorf("sent %v", header)
	}
	if a.Request["Webhook-Signature"] != header.Get("Webhook-Signature") || a.Request["Authorization"] != hiddenValue || strings.Contains(fmt.Sprint(a.Request), "tell-nobody") {
		t.Errorf("shown %v", a.Request)
	}
	// A vector of the specification's authors.
	h, err := signed([]string{"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"}, "msg_p5jXN8AQM9LWM0D4loKWxJek", []byte(`{"test": 2432232314}`), time.Unix(1614265330, 0))
	if err != nil || h.Get("Webhook-Signature") != "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=" {
		t.Errorf("got %v, %v", h, err)
	}
	for _, secret := range []string{"", "whsec_", "whsec_AAAA", "whsec_!!"} {
		if _, err := signed([]string{secret}, "msg_1", body, time.Now()); err == nil {
			t.Errorf("signed with %q", secret)
		}
	}
}

// TestCutOff: a request that we break off is no answer of the receiver's.
func TestCutOff(t *testing.T) {
	t.Parallel()
	s := hostile(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := clientFor(t, ssrf.Options{AllowPrivate: true}).post(ctx, targetOf(s.URL+"/hang"), "msg_1", []byte("{}")); !errors.Is(err, errCutOff) {
		t.Errorf("got %v, want %v", err, errCutOff)
	}
}
