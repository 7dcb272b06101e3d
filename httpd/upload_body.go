package httpd

import (
	"context"
	"errors"
	"io"
	"mime/multipart"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"importer"
)

// formOverhead is what a multipart form may hold beside the file: boundaries,
// headers and small fields.
const formOverhead = 1 << 20

// Progress of an upload is told this often, and at once for the first byte.
const (
	toldBytes = 256 << 10
	toldEvery = 100 * time.Millisecond
)

// openUpload finds the file in a request and takes its name from the form
// when the query has none.
func openUpload(r *http.Request, t *transfer, limit int64, n *importer.NewImport) (io.Reader, error) {
	body := markErrors(t.reader(r.Body))
	if !isMultipart(r) {
		return &limited{r: body, left: limit, limit: limit}, nil
	}
	r.Body = io.NopCloser(&limited{r: body, left: limit + formOverhead, limit: limit})
	parts, err := r.MultipartReader()
	if err != nil {
		return nil, importer.Errorf(importer.Malformed, "The form cannot be read: %v.", err)
	}
	for {
		part, err := parts.NextPart()
		switch {
		case err == io.EOF:
			return nil, importer.Errorf(importer.Malformed, `The form has no file in a field named "file".`)
		case err != nil:
			return nil, uploadError(formError(err), 0)
		case part.FormName() != "file":
			continue
		}
		if n.Filename == "" {
			n.Filename = part.FileName()
		}
		return &limited{r: &formFile{parts: parts, part: part}, left: limit, limit: limit}, nil
	}
}

// formFile reads one part and makes sure that the form ends properly behind
// it, with no second file.
type formFile struct {
	parts *multipart.Reader
	part  *multipart.Part
}

func (f *formFile) Read(p []byte) (int, error) {
	n, err := f.part.Read(p)
	if err != io.EOF {
		return n, formError(err)
	}
	for {
		part, err := f.parts.NextPart()
		switch {
		case err == io.EOF:
			return n, io.EOF
		case err != nil:
			return n, formError(err)
		case part.FormName() == "file":
			return n, importer.Errorf(importer.Invalid, "The form has more than one file; send one a request.")
		}
	}
}

// formError keeps our own errors and those of the connection, and explains
// what else is wrong with a form.
func formError(err error) error {
	if err == nil {
		return nil
	}
	// A form that ends before its last boundary, in a part or between two.
	if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) {
		return &readError{err}
	}
	if _, ok := errors.AsType[*importer.Error](err); ok {
		return err
	}
	if _, ok := errors.AsType[*readError](err); ok {
		return err
	}
	return importer.Errorf(importer.Malformed, "The form cannot be read: %v.", err)
}

// limited ends with TooLarge beyond its limit.
type limited struct {
	r           io.Reader
	left, limit int64
}

func (l *limited) Read(p []byte) (int, error) {
	if int64(len(p)) > l.left+1 {
		p = p[:l.left+1] // one more than allowed tells a full file from one that goes on
	}
	n, err := l.r.Read(p)
	if int64(n) > l.left {
		return int(l.left), tooLarge(l.limit)
	}
	l.left -= int64(n)
	return n, err
}

// counted tells the importer how much of a file has arrived.
func (s *Server) counted(r io.Reader, id uuid.UUID, offset int64) io.Reader {
	return &counter{r: r, at: offset, tell: func(n int64) { s.Importer.Received(id, n) }}
}

type counter struct {
	r        io.Reader
	at, told int64
	last     time.Time
	tell     func(int64)
}

func (c *counter) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.at += int64(n)
	if n > 0 && (c.at-c.told >= toldBytes || time.Since(c.last) >= toldEvery) {
		c.tell(c.at)
		c.told, c.last = c.at, time.Now()
	}
	return n, err
}

// readError marks what the connection did, as opposed to the disk.
type readError struct{ err error }

func markErrors(r io.Reader) io.Reader {
	return readerFunc(func(p []byte) (int, error) {
		n, err := r.Read(p)
		if _, ours := errors.AsType[*importer.Error](err); err == nil || err == io.EOF || ours {
			return n, err
		}
		return n, &readError{err}
	})
}

func (e *readError) Error() string { return "read the upload: " + e.err.Error() }
func (e *readError) Unwrap() error { return e.err }

// transfer is one request's body on its way in. It may be slow, but not
// silent, and it is cut off when its import is cancelled.
type transfer struct {
	control *http.ResponseController
	idle    time.Duration // how long a read may wait; 0 leaves the deadlines to others
	stopped atomic.Bool
}

func newTransfer(w http.ResponseWriter, idle time.Duration) *transfer {
	return &transfer{control: http.NewResponseController(w), idle: idle}
}

var (
	errCancelled = &importer.Error{Code: importer.Conflict, Message: "The import was cancelled while its file was uploading."}
	// The spool has lost the file meanwhile: another machine that shares it
	// has removed it.
	errEndedElsewhere = &importer.Error{Code: importer.Conflict, Message: "The import was cancelled or has failed while its file was uploading."}
)

func (t *transfer) reader(body io.Reader) io.Reader {
	return readerFunc(func(p []byte) (int, error) {
		if t.idle > 0 {
			t.extend(t.idle)
		}
		// After the deadline is set: cut raises its flag before it sets a
		// deadline in the past.
		if t.stopped.Load() {
			return 0, errCancelled
		}
		n, err := body.Read(p)
		if err != nil && err != io.EOF && t.stopped.Load() {
			err = errCancelled
		}
		return n, err
	})
}

// cut ends the transfer's Read, also one that waits.
func (t *transfer) cut() {
	t.stopped.Store(true)
	_ = t.control.SetReadDeadline(time.Unix(1, 0))
}

// extend sets both deadlines: the answer has to fit behind the last read.
func (t *transfer) extend(d time.Duration) {
	now := time.Now()
	_ = t.control.SetReadDeadline(now.Add(d))
	_ = t.control.SetWriteDeadline(now.Add(d + answerTime))
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

// transfers are the uploads that arrive at the moment.
type transfers struct {
	mu   sync.Mutex
	open map[*transfer]uuid.UUID
}

func (ts *transfers) add(id uuid.UUID, t *transfer) {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	if ts.open == nil {
		ts.open = map[*transfer]uuid.UUID{}
	}
	ts.open[t] = id
}

func (ts *transfers) remove(t *transfer) {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	delete(ts.open, t)
}

// cut ends the uploads of an import and reports whether there was one.
func (ts *transfers) cut(id uuid.UUID) bool {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	found := false
	for t, of := range ts.open {
		if of == id {
			t.cut()
			found = true
		}
	}
	return found
}

type transferKey struct{}

func withTransfer(ctx context.Context, t *transfer) context.Context {
	return context.WithValue(ctx, transferKey{}, t)
}

func transferOf(ctx context.Context) *transfer {
	t, _ := ctx.Value(transferKey{}).(*transfer)
	return t
}
