package spool

import (
	"io"
	"net/http"
	"strings"
	"sync"
)

// way takes requests to the storage.
type way struct {
	*http.Transport
	tigris bool
}

// RoundTrip returns when nobody reads the request's body any more. Left to
// itself the transport may go on with that behind an answer that came early,
// or an error, while the chunk's memory is used for the next one.
func (t way) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	if t.tigris {
		// It answers from the copy of a region otherwise, when a bucket is in
		// several (https://www.tigrisdata.com/docs/objects/consistency).
		r.Header.Set("X-Tigris-Consistent", "true")
	}
	if r.Body != nil {
		body := &lent{r: r.Body}
		defer body.takeBack()
		r.Body = body
	}
	return t.Transport.RoundTrip(r)
}

// isTigris also says that buckets have host names of their own there.
func isTigris(host string) bool {
	return host == "t3.storage.dev" || strings.HasSuffix(host, ".tigris.dev")
}

// lent is a body that can be taken back.
type lent struct {
	mu sync.Mutex
	r  io.Reader // nil once it is
}

func (l *lent) Read(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.r == nil {
		return 0, http.ErrBodyReadAfterClose
	}
	return l.r.Read(p)
}

func (l *lent) Close() error {
	l.takeBack()
	return nil
}

func (l *lent) takeBack() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.r = nil
}
