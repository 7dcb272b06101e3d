package client_test

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/google/uuid"

	"importer"
	"importer/client"
)

// tusServer keeps one upload and treats its parts as told.
type tusServer struct {
	mu   sync.Mutex
	id   uuid.UUID
	kept bytes.Buffer
	part func(n int, w http.ResponseWriter, r *http.Request) (handled bool)
	n    int
	meta string
}

func (s *tusServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch r.Method {
	case http.MethodPost:
		s.meta = r.Header.Get("Upload-Metadata")
		w.Header().Set("Location", "http://elsewhere.example/api/uploads/"+s.id.String())
		w.WriteHeader(http.StatusCreated)
	case http.MethodHead:
		w.Header().Set("Upload-Offset", strconv.Itoa(s.kept.Len()))
	case http.MethodPatch:
		s.n++
		if s.part != nil && s.part(s.n, w, r) {
			return
		}
		if at := r.Header.Get("Upload-Offset"); at != strconv.Itoa(s.kept.Len()) {
			w.WriteHeader(http.StatusConflict)
			return
		}
		_, _ = io.Copy(&s.kept, r.Body)
		w.Header().Set("Upload-Offset", strconv.Itoa(s.kept.Len()))
		w.WriteHeader(http.StatusNoContent)
	}
}

func send20MiB(t *testing.T, s *tusServer) (content []byte, err error) {
	t.Helper()
	s.id = uuid.Must(uuid.NewV7())
	h := httptest.NewServer(s)
	t.Cleanup(h.Close)
	c, err := client.New(client.Options{Server: h.URL})
	if err != nil {
		t.Fatal(err)
	}
	content = bytes.Repeat([]byte("0123456789abcdef"), 20<<16)
	last := int64(-1)
	id, err := c.Upload(t.Context(), bytes.NewReader(content), client.Upload{
		Filename: "Prüfung.csv", Size: int64(len(content)), DryRun: true, Mapping: map[string]string{"sku": "Item No"},
		Sent: func(n int64, notice error) {
			if n < 0 || n > int64(len(content)) {
				t.Errorf("sent %d of %d", n, len(content))
			}
			last = n
		},
	})
	if err == nil && (id != s.id || last != int64(len(content))) {
		t.Errorf("id %v, sent %d: want %v, %d", id, last, s.id, len(content))
	}
	return content, err
}

func TestUploadGoesOnAfterABreak(t *testing.T) {
	t.Parallel()
	s := &tusServer{}
	s.part = func(n int, w http.ResponseWriter, r *http.Request) bool {
		switch n {
		case 2: // keeps a piece, then the line is cut
			_, _ = io.CopyN(&s.kept, r.Body, 100_000)
			panic(http.ErrAbortHandler)
		case 4:
			w.WriteHeader(http.StatusServiceUnavailable)
			return true
		}
		return false
	}
	content, err := send20MiB(t, s)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(s.kept.Bytes(), content) {
		t.Errorf("the server has %d bytes, want the %d that were sent", s.kept.Len(), len(content))
	}
	// base64 of the file's name, of "true" and of "Item No"
	for _, want := range []string{"filename UHLDvGZ1bmcuY3N2", "dry_run dHJ1ZQ==", "map_sku SXRlbSBObw=="} {
		if !strings.Contains(s.meta, want) {
			t.Errorf("metadata %q lacks %q", s.meta, want)
		}
	}
}

func TestUploadRefusedIsNotRepeated(t *testing.T) {
	t.Parallel()
	s := &tusServer{part: func(n int, w http.ResponseWriter, _ *http.Request) bool {
		if n > 1 {
			t.Error("the part was sent again")
		}
		w.Header().Set("Content-Type", "application/problem+json")
		w.WriteHeader(http.StatusRequestEntityTooLarge)
		_, _ = io.WriteString(w, `{"code":"file_too_large","detail":"The file is over the limit of 1 MiB."}`)
		return true
	}}
	_, err := send20MiB(t, s)
	if importer.ErrorCode(err) != importer.TooLarge || !strings.Contains(err.Error(), "1 MiB") {
		t.Errorf("got %v, want what the server said", err)
	}
}

func TestAnswersThatAreNotTheServers(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		status int
		body   string
		want   importer.Code
	}{
		{http.StatusBadGateway, "<html>bad gateway</html>", importer.Unavailable},
		{http.StatusNotFound, "", importer.NotFound},
		{http.StatusConflict, `{"code":"conflict","detail":"It has ended."}`, importer.Conflict},
	} {
		h := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			if strings.HasPrefix(c.body, "{") {
				w.Header().Set("Content-Type", "application/problem+json")
			}
			w.WriteHeader(c.status)
			_, _ = io.WriteString(w, c.body)
		}))
		defer h.Close()
		cl, err := client.New(client.Options{Server: h.URL})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := cl.CancelImport(t.Context(), uuid.New()); importer.ErrorCode(err) != c.want {
			t.Errorf("status %d: got %v, want %s", c.status, err, c.want)
		}
	}
}
