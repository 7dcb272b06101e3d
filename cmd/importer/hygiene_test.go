package main

import (
	"bufio"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/rs/zerolog"

	"importer"
	"importer/db/dbtest"
	"importer/internal/sample"
)

// raw sends a request as it is written here; clients tidy theirs up.
func raw(t *testing.T, p *process, request string) *http.Response {
	t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(p.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if _, err := io.WriteString(conn, request); err != nil {
		t.Fatal(err)
	}
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatalf("%q: %v", request, err)
	}
	t.Cleanup(func() { resp.Body.Close() })
	return resp
}

// TestSecurityHeaders looks at answers of every kind: files, pages that are and
// are not there, JSON, problems, downloads, 304, refusals.
func TestSecurityHeaders(t *testing.T) {
	t.Parallel()
	open := serveProcess(t, []string{"DATABASE_URL=" + dbtest.URL(t)}, "--data-dir", t.TempDir())
	guarded := serveProcess(t, []string{"DATABASE_URL=" + dbtest.URL(t), "IMPORTER_ADMIN_TOKEN=" + secret}, "--data-dir", t.TempDir())
	file, _ := writeCatalogue(t, sample.Options{Rows: 100, Bad: 0.5, Seed: 1})
	im := watchUntil(t, open, upload(t, open, file), func(importer.Import) bool { return false })
	etag := raw(t, open, "GET /docs HTTP/1.1\r\nHost: localhost\r\n\r\n").Header.Get("Etag")
	for _, c := range []struct {
		p          *process
		target     string // method and path
		more       string // headers
		status     int    // 0: whatever a build of the dashboard makes it
		attachment bool
	}{
		{open, "GET /", "", 0, false},
		{open, "GET /imports/x", "", 0, false},
		{open, "GET /favicon.svg", "", 0, false},
		{open, "GET /nothing.js", "", 404, false},
		{open, "GET /assets/nothing.css", "", 404, false},
		{open, "POST /", "Content-Length: 0\r\n", 405, false},
		{open, "GET /docs", "", 200, false},
		{open, "GET /docs", "If-None-Match: " + etag + "\r\n", 304, false},
		{open, "GET /api/products", "", 200, false},
		{open, "GET /api/products?colour=red", "", 422, false},
		{open, "GET /api/products/999999", "", 404, false},
		{open, "GET /api/nothing", "", 404, false},
		{open, "PUT /api/products", "Content-Length: 0\r\n", 405, false},
		{open, "POST /api/products", "Content-Length: 0\r\nSec-Fetch-Site: cross-site\r\n", 403, false},
		{open, "GET /api/products", "Host: attacker.example\r\n", 403, false},
		{open, "GET /api/products/export.csv", "", 200, true},
		{open, "GET /api/imports/" + im.ID.String() + "/rejects.csv", "", 200, true},
		{open, "GET /api/openapi.json", "", 200, false},
		{open, "GET /api/asyncapi.json", "", 200, false},
		{open, "GET /healthz", "", 200, false},
		{open, "GET /readyz", "", 200, false},
		{open, "GET /ws", "", 426, false},
		{guarded, "GET /", "", 0, false},
		{guarded, "GET /api/products", "", 401, false},
		{guarded, "GET /ws", "", 401, false},
		{guarded, "GET /api/session", "Host: shop.example\r\nX-Forwarded-Proto: https\r\n", 200, false},
		{guarded, "GET /api/products", "Host: shop.example\r\nX-Forwarded-Proto: https\r\n", 401, false},
	} {
		host := "Host: localhost\r\n"
		if strings.Contains(c.more, "Host: ") {
			host = ""
		}
		resp := raw(t, c.p, c.target+" HTTP/1.1\r\n"+host+c.more+"\r\n")
		name, h := fmt.Sprintf("%s (%s)", c.target, strings.TrimSpace(c.more)), resp.Header
		if c.status != 0 && resp.StatusCode != c.status {
			t.Errorf("%s: %d, want %d", name, resp.StatusCode, c.status)
		}
		policy := h.Get("Content-Security-Policy")
		if !strings.HasPrefix(policy, "default-src 'none';") || !strings.Contains(policy, "frame-ancestors 'none'") || strings.Contains(policy, "unsafe") || strings.Contains(policy, "*") {
			t.Errorf("%s: policy %q", name, policy)
		}
		for header, want := range map[string]string{
			"X-Content-Type-Options": "nosniff", "Cross-Origin-Resource-Policy": "same-origin", "Referrer-Policy": "same-origin", "Server": "", "X-Powered-By": "", "Access-Control-Allow-Origin": "",
		} {
			if got := h.Get(header); got != want {
				t.Errorf("%s: %s is %q, want %q", name, header, got, want)
			}
		}
		if strict := h.Get("Strict-Transport-Security") != ""; strict != strings.Contains(c.more, "https") {
			t.Errorf("%s: Strict-Transport-Security is %q", name, h.Get("Strict-Transport-Security"))
		}
		if kind := h.Get("Content-Type"); resp.StatusCode != 304 && !regexp.MustCompile(`^(application/(\w+\+)?json|text/(html|plain|csv); charset=utf-8|image/svg\+xml)$`).MatchString(kind) {
			t.Errorf("%s: content type %q", name, kind)
		}
		if got := strings.HasPrefix(h.Get("Content-Disposition"), "attachment;"); got != c.attachment {
			t.Errorf("%s: Content-Disposition %q", name, h.Get("Content-Disposition"))
		}
		if strings.Contains(c.target, " /api/") && h.Get("Cache-Control") != "no-store" && !strings.HasSuffix(c.target, "api.json") {
			t.Errorf("%s: Cache-Control %q", name, h.Get("Cache-Control"))
		}
	}
}

// TestPathTricks asks for what is not to be had, and uploads files with names
// that lead elsewhere.
func TestPathTricks(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	p := serveProcess(t, []string{"DATABASE_URL=" + dbtest.URL(t)}, "--data-dir", dir)
	for _, target := range []string{
		"/../../../../etc/passwd", "/assets/../../../etc/passwd", "/assets/..%2f..%2f..%2fetc%2fpasswd", "/%2e%2e/%2e%2e/etc/passwd", "/..\\..\\etc\\passwd", "/..%5c..%5cetc%5cpasswd",
		"//etc/passwd", "/./././etc/passwd", "/etc/passwd%00.js", "/%00", "/assets/%2e", "/.env", "/.git/config", "/assets/", "/data/uploads", "/api/../../etc/passwd", "/api/imports/..%2f..%2f..%2fetc%2fpasswd", "/api/uploads/..%2f..%2fpostgres",
		"//attacker.example/%2e%2e", "///attacker.example", "/\\attacker.example/..", "/%5cattacker.example", "//attacker.example//", "/api//products", "http://attacker.example/api/products", "/imports/%0d%0aSet-Cookie:%20a=b",
	} {
		resp := raw(t, p, "GET "+target+" HTTP/1.1\r\nHost: localhost\r\n\r\n")
		body, _ := io.ReadAll(resp.Body)
		if strings.Contains(string(body), "root:") || strings.Contains(string(body), "[core]") || strings.Contains(string(body), "PG_VERSION") {
			t.Errorf("%s shows a file of the machine", target)
		}
		if resp.Header.Get("Set-Cookie") != "" {
			t.Errorf("%s sets a header", target)
		}
		if to := resp.Header.Get("Location"); to != "" && (!strings.HasPrefix(to, "/") || strings.HasPrefix(to, "//") || strings.HasPrefix(to, "/\\")) {
			t.Errorf("%s leads to %q", target, to)
		}
		if resp.StatusCode >= 500 && resp.StatusCode != http.StatusServiceUnavailable {
			t.Errorf("%s: %d", target, resp.StatusCode)
		}
	}

	for i, name := range []string{"../../../../tmp/escaped.csv", "/etc/cron.d/escaped", "..\\escaped.csv", "a\x00b.csv", "CON", strings.Repeat("é", 300) + ".csv", "-rf", "a\r\nSet-Cookie: a=b.csv", "\x1b[2J\u202evsc.csv"} {
		im := post(t, p, url.QueryEscape(name), fmt.Appendf(nil, "sku,name\nA-%d,\n", i))
		if strings.ContainsAny(im.Filename, "/\\\x00\r\n\x1b\u202e") || im.Filename == "" {
			t.Errorf("%q is kept as %q", name, im.Filename)
		}
		create := raw(t, p, "POST /api/uploads HTTP/1.1\r\nHost: localhost\r\nTus-Resumable: 1.0.0\r\nUpload-Length: 10\r\nUpload-Metadata: filename "+base64.StdEncoding.EncodeToString([]byte(name))+"\r\nContent-Length: 0\r\n\r\n")
		if _, err := uuid.Parse(filepath.Base(create.Header.Get("Location"))); create.StatusCode != http.StatusCreated || err != nil {
			t.Errorf("%q by tus: %d, %v", name, create.StatusCode, create.Header)
		}
		watchUntil(t, p, im.ID, func(importer.Import) bool { return false })
		rejects := raw(t, p, "GET /api/imports/"+im.ID.String()+"/rejects.csv HTTP/1.1\r\nHost: localhost\r\n\r\n")
		if rejects.Header.Get("Set-Cookie") != "" || !strings.HasPrefix(rejects.Header.Get("Content-Disposition"), "attachment; ") {
			t.Errorf("%q: the rejected rows come with %v", name, rejects.Header)
		}
	}
	err := filepath.WalkDir(filepath.Join(dir, "uploads"), func(path string, d fs.DirEntry, err error) error {
		if id, _, _ := strings.Cut(d.Name(), "."); err == nil && path != filepath.Join(dir, "uploads") {
			if _, bad := uuid.Parse(id); bad != nil && d.IsDir() {
				t.Errorf("there is %s", path)
			}
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
	if left, err := filepath.Glob(filepath.Join(filepath.Dir(dir), "*escaped*")); err != nil || len(left) > 0 {
		t.Errorf("there are %v", left)
	}
}

// evil is a text that pretends to be lines of a log, and orders to a terminal.
const evil = "x\r\n{\"level\":\"error\",\"message\":\"forged\"}\n\x1b[2J\x1b]0;forged\x07\u202e\u2028"

// A terminal is shown one line too, with nothing in it that it would obey.
func TestLogOnATerminalCannotBeForged(t *testing.T) {
	t.Parallel()
	var shown strings.Builder
	log := zerolog.New(console(&shown))
	log.Warn().Str("path", evil).Err(errors.New(evil)).Msg("request")
	if text := shown.String(); strings.Count(text, "\n") != 1 || strings.ContainsAny(text, "\r\x07\u202e") || strings.Contains(text, "\x1b[2J") || strings.Contains(text, "\x1b]0") {
		t.Errorf("it is shown %q", text)
	}
}

// TestLogCannotBeForged writes line breaks, escapes of terminals and JSON into
// everything that a request can have logged.
func TestLogCannotBeForged(t *testing.T) {
	t.Parallel()
	p := serveProcess(t, []string{"DATABASE_URL=" + dbtest.URL(t)}, "--data-dir", t.TempDir())
	query := url.QueryEscape(evil)
	for _, request := range []string{
		"GET /api/imports/" + url.PathEscape(evil) + " HTTP/1.1\r\nHost: localhost\r\n",
		"GET /" + url.PathEscape(evil) + " HTTP/1.1\r\nHost: localhost\r\n",
		"GET /api/products?q=" + query + "&cursor=" + query + " HTTP/1.1\r\nHost: localhost\r\n",
		"GET /api/products HTTP/1.1\r\nHost: localhost\r\nUser-Agent: \x1b[31mforged\r\nX-Request-Id: \x1b[31mforged\x1b[0m\r\n",
		"GET /api/products HTTP/1.1\r\nHost: \x1b[31mforged\r\n",
		"POST /api/session HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 2\r\nX-Forwarded-For: \x1b[31mforged\r\n",
		"\x1b[31mFORGED / HTTP/1.1\r\nHost: localhost\r\n",
	} {
		resp := raw(t, p, request+"\r\n{}")
		resp.Body.Close()
	}
	quoted, err := json.Marshal(evil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.Post(p.url+"/api/webhooks", "application/json", strings.NewReader(`{"url":"https://example.com/`+url.PathEscape(evil)+`","events":["product.created"],"headers":{"X-A":`+string(quoted)+`}}`))
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	im := post(t, p, query, []byte("sku,name\n\""+strings.ReplaceAll(evil, `"`, `""`)+"\",Name\n,\""+strings.ReplaceAll(evil, `"`, `""`)+"\"\n"))
	watchUntil(t, p, im.ID, func(importer.Import) bool { return false })
	post(t, p, query, []byte(evil))
	if err := p.stop(); err != nil {
		t.Error(err)
	}
	requests := 0
	for line := range strings.Lines(p.log.String()) {
		var l map[string]any
		if err := json.Unmarshal([]byte(line), &l); err != nil {
			if !strings.HasPrefix(line, "Product Importer is ready: ") {
				t.Errorf("a line is no JSON: %q", line)
			}
			continue
		}
		if l["message"] == "forged" {
			t.Errorf("a line is forged: %s", line)
		}
		if l["message"] == "request" {
			requests++
		}
		if strings.ContainsAny(line, "\x1b\x07\r") {
			t.Errorf("an escape gets into the log: %q", line)
		}
	}
	if requests < 6 { // some are not HTTP, and end before
		t.Errorf("%d requests are logged:\n%s", requests, tail(p.log.String(), 20))
	}
}
