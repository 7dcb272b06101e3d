package web_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"importer/client/web"
)

const (
	immutable  = "public, max-age=31536000, immutable"
	revalidate = "no-cache"
)

// built is what Vite leaves behind: one hashed script with its compressed
// forms, the page, and files that keep their names.
func built() fstest.MapFS {
	return fstest.MapFS{
		".gitkeep":                 {},
		"index.html":               {Data: []byte("<!doctype html>app")},
		"favicon.svg":              {Data: []byte("<svg/>")},
		"assets/app-1a2b.js":       {Data: []byte("plain script")},
		"assets/app-1a2b.js.br":    {Data: []byte("brotli script")},
		"assets/app-1a2b.js.gz":    {Data: []byte("gzip script")},
		"assets/geist-3c4d.woff2":  {Data: []byte("font")},
		"assets/unknown-5e6f.blob": {Data: []byte("bytes")},
	}
}

func setup(t *testing.T, fsys fstest.MapFS) http.Handler {
	t.Helper()
	h, err := web.New(fsys)
	if err != nil {
		t.Fatalf("New: %v", err)
	}
	return h
}

func get(h http.Handler, method, target string, header map[string]string) (*http.Response, string) {
	r := httptest.NewRequest(method, target, nil)
	for k, v := range header {
		r.Header.Set(k, v)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	res := w.Result()
	body, _ := io.ReadAll(res.Body)
	return res, string(body)
}

func TestServe(t *testing.T) {
	t.Parallel()
	h := setup(t, built())
	type answer struct {
		Status             int
		Type, Cache, Coded string
		Body               string
	}
	html := answer{200, "text/html; charset=utf-8", revalidate, "", "<!doctype html>app"}
	script := answer{200, "text/javascript; charset=utf-8", immutable, "", "plain script"}
	missing := answer{404, "text/plain; charset=utf-8", "no-store", "", "404 page not found\n"}
	coded := func(coding, body string) answer {
		a := script
		a.Coded, a.Body = coding, body
		return a
	}
	for name, tc := range map[string]struct {
		target, accept string
		want           answer
	}{
		"root":                     {"/", "", html},
		"index by name":            {"/index.html", "", html},
		"deep link":                {"/imports/0198d2c4-8f4e-7000-8000-000000000000", "", html},
		"deep link with query":     {"/products?q=lamp.js", "", html},
		"asset":                    {"/assets/app-1a2b.js", "", script},
		"asset as brotli":          {"/assets/app-1a2b.js", "gzip, deflate, br", coded("br", "brotli script")},
		"asset as gzip":            {"/assets/app-1a2b.js", "gzip", coded("gzip", "gzip script")},
		"brotli refused by weight": {"/assets/app-1a2b.js", "br;q=0, gzip;q=0.5", coded("gzip", "gzip script")},
		"unknown coding":           {"/assets/app-1a2b.js", "zstd", script},
		"never compressed":         {"/assets/geist-3c4d.woff2", "br", answer{200, "font/woff2", immutable, "", "font"}},
		"unknown type":             {"/assets/unknown-5e6f.blob", "", answer{200, "application/octet-stream", immutable, "", "bytes"}},
		"keeps its name":           {"/favicon.svg", "", answer{200, "image/svg+xml", revalidate, "", "<svg/>"}},
		"asset of another build":   {"/assets/app-0000.js", "", missing},
		"compressed form by name":  {"/assets/app-1a2b.js.br", "", missing},
		"hidden file":              {"/.gitkeep", "", missing},
		"path that climbs":         {"/assets/../../etc/passwd.txt", "", missing},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			res, body := get(h, "GET", tc.target, map[string]string{"Accept-Encoding": tc.accept})
			got := answer{
				res.StatusCode, res.Header.Get("Content-Type"), res.Header.Get("Cache-Control"),
				res.Header.Get("Content-Encoding"), body,
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("GET %s (-want +got):\n%s", tc.target, diff)
			}
		})
	}
}

func TestETagAnswersAgain(t *testing.T) {
	t.Parallel()
	h := setup(t, built())
	for _, accept := range []string{"", "br", "gzip"} {
		first, _ := get(h, "GET", "/assets/app-1a2b.js", map[string]string{"Accept-Encoding": accept})
		tag := first.Header.Get("ETag")
		again, body := get(h, "GET", "/assets/app-1a2b.js", map[string]string{"Accept-Encoding": accept, "If-None-Match": tag})
		if again.StatusCode != http.StatusNotModified || body != "" {
			t.Errorf("Accept-Encoding %q, If-None-Match %s: got %d %q, want 304 and no body", accept, tag, again.StatusCode, body)
		}
	}
	changed := built()
	changed["index.html"] = &fstest.MapFile{Data: []byte("<!doctype html>new")}
	old, _ := get(h, "GET", "/", nil)
	res, _ := get(setup(t, changed), "GET", "/", map[string]string{"If-None-Match": old.Header.Get("ETag")})
	if res.StatusCode != http.StatusOK {
		t.Errorf("another build: got %d, want 200", res.StatusCode)
	}
}

// A cache in between must not give brotli to a client that cannot read it.
func TestFormsDifferInETagAndVary(t *testing.T) {
	t.Parallel()
	h := setup(t, built())
	tags := map[string]string{}
	for _, accept := range []string{"", "br", "gzip"} {
		res, _ := get(h, "GET", "/assets/app-1a2b.js", map[string]string{"Accept-Encoding": accept})
		if got := res.Header.Get("Vary"); got != "Accept-Encoding" {
			t.Errorf("Accept-Encoding %q: got Vary %q", accept, got)
		}
		if other, taken := tags[res.Header.Get("ETag")]; taken {
			t.Errorf("Accept-Encoding %q and %q share ETag %s", accept, other, res.Header.Get("ETag"))
		}
		tags[res.Header.Get("ETag")] = accept
	}
}

func TestNotBuilt(t *testing.T) {
	t.Parallel()
	h := setup(t, fstest.MapFS{".gitkeep": {}})
	for _, target := range []string{"/", "/index.html", "/imports/1"} {
		res, body := get(h, "GET", target, nil)
		if res.StatusCode != http.StatusServiceUnavailable || !strings.Contains(body, "make web") {
			t.Errorf("GET %s: got %d %q, want 503 that names make web", target, res.StatusCode, body)
		}
	}
}

func TestSecurityHeadersInEveryState(t *testing.T) {
	t.Parallel()
	whole, none := setup(t, built()), setup(t, fstest.MapFS{})
	for name, tc := range map[string]struct {
		h              http.Handler
		method, target string
		status         int
	}{
		"page":      {whole, "GET", "/", 200},
		"asset":     {whole, "GET", "/assets/app-1a2b.js", 200},
		"missing":   {whole, "GET", "/nothing.js", 404},
		"method":    {whole, "POST", "/", 405},
		"not built": {none, "GET", "/", 503},
	} {
		res, _ := get(tc.h, tc.method, tc.target, nil)
		if res.StatusCode != tc.status {
			t.Errorf("%s: got %d, want %d", name, res.StatusCode, tc.status)
		}
		policy := res.Header.Get("Content-Security-Policy")
		for _, part := range []string{"default-src 'none'", "script-src 'self'", "frame-ancestors 'none'", "require-trusted-types-for 'script'"} {
			if !strings.Contains(policy, part) {
				t.Errorf("%s: policy %q lacks %q", name, policy, part)
			}
		}
		if strings.Contains(policy, "unsafe") {
			t.Errorf("%s: policy %q allows something unsafe", name, policy)
		}
		got := []string{
			res.Header.Get("X-Content-Type-Options"), res.Header.Get("Referrer-Policy"), res.Header.Get("Cross-Origin-Opener-Policy"),
		}
		if diff := cmp.Diff([]string{"nosniff", "same-origin", "same-origin"}, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestHEADHasNoBody(t *testing.T) {
	t.Parallel()
	res, body := get(setup(t, built()), "HEAD", "/", nil)
	if res.StatusCode != 200 || body != "" || res.Header.Get("Content-Length") != "18" {
		t.Errorf("got %d %q with length %s, want 200, no body, length 18", res.StatusCode, body, res.Header.Get("Content-Length"))
	}
}

// The embedded files may be built or not; both must come up and answer.
func TestEmbedded(t *testing.T) {
	t.Parallel()
	res, body := get(web.Handler(), "GET", "/", nil)
	switch res.StatusCode {
	case http.StatusOK:
		if !strings.Contains(body, "/assets/") {
			t.Errorf("the page loads no assets:\n%s", body)
		}
	case http.StatusServiceUnavailable:
		if !strings.Contains(body, "make web") {
			t.Errorf("got %q, want a hint at make web", body)
		}
	default:
		t.Errorf("got %d, want 200 or 503", res.StatusCode)
	}
}
