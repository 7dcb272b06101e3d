// Package web is the dashboard: the files that Vite builds from src, embedded
// in the binary, and the handler that serves them. cmd/importer hands Handler
// to httpd, which mounts it below every route of the API. It knows nothing of
// imports and never calls the API: that is what the files do, in a browser.
package web

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"io/fs"
	"net/http"
	"path"
	"strings"
	"time"
)

// dist is filled by "make web". Without a build it holds .gitkeep alone.
//
//go:embed all:dist
var dist embed.FS

// The policy allows what Vite builds and nothing else: no inline script or
// style, no other host, and markup only through Svelte's own templates.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; " +
	"font-src 'self'; connect-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'self'; " +
	"frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types svelte-trusted-html"

const notBuilt = `<!doctype html>
<html lang="en"><title>Dashboard not built</title>
<h1>The dashboard is not built</h1>
<p>Run <code>make web</code>, then build the server again. The API works without it.</p>
</html>
`

// types are named here because a small container image has no mime.types.
var types = map[string]string{
	".css":   "text/css; charset=utf-8",
	".html":  "text/html; charset=utf-8",
	".js":    "text/javascript; charset=utf-8",
	".png":   "image/png",
	".svg":   "image/svg+xml",
	".txt":   "text/plain; charset=utf-8",
	".woff2": "font/woff2",
}

// Handler serves the embedded dashboard.
func Handler() http.Handler {
	built, err := fs.Sub(dist, "dist")
	if err != nil {
		panic(err) // dist is a directory since the compiler said so
	}
	h, err := New(built)
	if err != nil {
		panic(err) // files inside the binary do not fail to be read
	}
	return h
}

// New serves a dashboard built into fsys. All files are read once, now.
//
// Files below /assets have a hash of their content in the name and may be
// kept for a year; all others are asked for again and answered by their ETag.
// A path without an extension is a page of the app and gets index.html; one
// with an extension that is not there is 404. Without index.html every page
// is 503 and says how to build it.
func New(fsys fs.FS) (http.Handler, error) {
	files, err := load(fsys)
	if err != nil {
		return nil, fmt.Errorf("load dashboard: %w", err)
	}
	return files, nil
}

// site maps a cleaned URL path to its file.
type site map[string]*file

// file is one file in all the forms it can be sent in.
type file struct {
	mediaType string
	plain     body
	brotli    body
	gzip      body
}

// body is the content of a file in one encoding. The zero body is not there.
type body struct {
	bytes []byte
	etag  string
}

func load(fsys fs.FS) (site, error) {
	files := site{}
	err := fs.WalkDir(fsys, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || strings.HasPrefix(d.Name(), ".") {
			return err
		}
		content, err := fs.ReadFile(fsys, name)
		if err != nil {
			return err
		}
		sum := sha256.Sum256(content)
		b := body{bytes: content, etag: `"` + hex.EncodeToString(sum[:12]) + `"`}
		switch ext := path.Ext(name); ext {
		case ".br":
			files.at(strings.TrimSuffix(name, ext)).brotli = b
		case ".gz":
			files.at(strings.TrimSuffix(name, ext)).gzip = b
		default:
			files.at(name).plain = b
		}
		return nil
	})
	return files, err
}

// at returns the file of a name, made when first asked for.
func (s site) at(name string) *file {
	p := "/" + name
	if s[p] == nil {
		s[p] = &file{mediaType: types[path.Ext(name)]}
		if s[p].mediaType == "" {
			s[p].mediaType = "application/octet-stream"
		}
	}
	return s[p]
}

func (s site) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Security-Policy", policy)
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Referrer-Policy", "same-origin")
	h.Set("X-Content-Type-Options", "nosniff")

	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		h.Set("Allow", "GET, HEAD")
		http.Error(w, "method not allowed", http.StatusMethodNotAllowed)
		return
	}
	p := path.Clean("/" + r.URL.Path)
	f := s[p]
	switch {
	case f != nil && strings.HasPrefix(p, "/assets/"):
		h.Set("Cache-Control", "public, max-age=31536000, immutable")
	case f != nil:
		h.Set("Cache-Control", "no-cache")
	case path.Ext(p) != "" && p != "/index.html":
		// A page that was open during an upgrade asks for yesterday's chunks:
		// index.html would be taken for a script, and remembered.
		h.Set("Cache-Control", "no-store")
		http.NotFound(w, r)
		return
	default:
		h.Set("Cache-Control", "no-cache")
		if f = s["/index.html"]; f == nil {
			h.Set("Cache-Control", "no-store")
			h.Set("Content-Type", types[".html"])
			w.WriteHeader(http.StatusServiceUnavailable)
			_, _ = w.Write([]byte(notBuilt)) // the reader may be gone
			return
		}
	}
	f.serve(w, r)
}

// serve sends the smallest form the client takes. Conditions, ranges and HEAD
// are http.ServeContent's.
func (f *file) serve(w http.ResponseWriter, r *http.Request) {
	h, b := w.Header(), f.plain
	h.Set("Content-Type", f.mediaType)
	if f.brotli.bytes != nil || f.gzip.bytes != nil {
		h.Set("Vary", "Accept-Encoding")
		switch {
		case f.brotli.bytes != nil && accepts(r, "br"):
			h.Set("Content-Encoding", "br")
			b = f.brotli
		case f.gzip.bytes != nil && accepts(r, "gzip"):
			h.Set("Content-Encoding", "gzip")
			b = f.gzip
		}
	}
	h.Set("ETag", b.etag)
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(b.bytes))
}

// accepts reads Accept-Encoding (RFC 9110, 12.5.3) as far as browsers use it:
// a coding is taken when it is named without a weight of 0.
func accepts(r *http.Request, coding string) bool {
	for part := range strings.SplitSeq(r.Header.Get("Accept-Encoding"), ",") {
		name, weight, _ := strings.Cut(part, ";")
		if strings.EqualFold(strings.TrimSpace(name), coding) {
			_, q, _ := strings.Cut(weight, "=")
			return strings.Trim(q, " 0.") != "" || strings.TrimSpace(q) == ""
		}
	}
	return false
}
