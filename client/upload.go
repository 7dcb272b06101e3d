package client

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"path"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/go-resty/resty/v2"
	"github.com/google/uuid"

	"importer"
)

// Parts small enough for the proxies of hosting platforms, which buffer or
// cut larger request bodies.
const partSize = 8 << 20

// How often a part is tried again before the upload is given up: about two
// minutes without a server.
const partTries = 12

// Upload describes a file to import.
type Upload struct {
	Filename string
	Size     int64 // bytes; must be known
	DryRun   bool
	Mapping  map[string]string              // field (sku, name, description) to column header; may be nil
	Created  func(uuid.UUID)                // called once the import exists; may be nil
	Sent     func(sent int64, notice error) // progress; notice is set while a part is tried again; may be nil
}

// Upload sends a file in parts (tus 1.0.0, creation) and returns the import's
// id once the server has all of it. A dropped connection is taken up where it
// broke. Canceling ctx leaves the import behind unfinished, for the server to
// expire.
func (c *Client) Upload(ctx context.Context, file io.ReaderAt, u Upload) (uuid.UUID, error) {
	location, id, err := c.createUpload(ctx, u)
	if err != nil {
		return uuid.Nil, err
	}
	if u.Created != nil {
		u.Created(id)
	}
	sent := func(n int64, notice error) {
		if u.Sent != nil {
			u.Sent(n, notice)
		}
	}
	offset, tries := int64(0), 0
	for offset < u.Size {
		next, err := c.sendPart(ctx, location, file, offset, min(partSize, u.Size-offset), func(n int64) { sent(n, nil) })
		if err == nil {
			offset, tries = next, 0
			sent(offset, nil)
			continue
		}
		if tries++; tries > partTries || !worthRetrying(err) {
			return id, err
		}
		sent(offset, err)
		if err := sleep(ctx, backoff(tries, 500*time.Millisecond, 20*time.Second)); err != nil {
			return id, err
		}
		// The server knows what it has kept of the part that broke.
		if at, err := c.uploadOffset(ctx, location); err == nil {
			offset = at
		} else if !worthRetrying(err) {
			return id, err
		}
	}
	return id, nil
}

func (c *Client) createUpload(ctx context.Context, u Upload) (location string, id uuid.UUID, err error) {
	meta := []string{"filename " + base64.StdEncoding.EncodeToString([]byte(u.Filename))}
	if u.DryRun {
		meta = append(meta, "dry_run "+base64.StdEncoding.EncodeToString([]byte("true")))
	}
	for field, header := range u.Mapping {
		meta = append(meta, "map_"+field+" "+base64.StdEncoding.EncodeToString([]byte(header)))
	}
	r, err := c.tus(ctx).
		SetHeader("Upload-Length", strconv.FormatInt(u.Size, 10)).
		SetHeader("Upload-Metadata", strings.Join(meta, ",")).
		Post("/api/uploads")
	if err != nil {
		return "", uuid.Nil, unreachable(err)
	}
	if r.IsError() {
		return "", uuid.Nil, failure(r)
	}
	at, err := c.base.Parse(r.Header().Get("Location"))
	if err != nil {
		return "", uuid.Nil, importer.Errorf(importer.Internal, "the server named no place for the upload: %v", err)
	}
	if id, err = uuid.Parse(path.Base(at.Path)); err != nil {
		return "", uuid.Nil, importer.Errorf(importer.Internal, "the server's upload address %q ends in no import id", at.Path)
	}
	// Behind a proxy the server may not know its own scheme and host.
	return "/api/uploads/" + id.String(), id, nil
}

// sendPart sends size bytes from offset and returns the offset the server
// stands at afterwards. It does not use resty, which would read the part into
// memory first.
func (c *Client) sendPart(ctx context.Context, location string, file io.ReaderAt, offset, size int64, sent func(int64)) (int64, error) {
	body := &part{r: io.NewSectionReader(file, offset, size), at: offset, sent: sent}
	defer func() { _ = body.retire() }() // asked below for what it has to say
	req, err := http.NewRequestWithContext(ctx, http.MethodPatch, c.base.String()+location, body)
	if err != nil {
		return offset, err
	}
	req.ContentLength = size
	req.Header.Set("Tus-Resumable", "1.0.0")
	req.Header.Set("Content-Type", "application/offset+octet-stream")
	req.Header.Set("Upload-Offset", strconv.FormatInt(offset, 10))
	if c.token != "" {
		req.Header.Set("Authorization", "Bearer "+c.token)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		if cause := body.retire(); cause != nil {
			return offset, cause
		}
		return offset, unreachable(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusNoContent {
		return offset, partFailure(resp)
	}
	next, err := strconv.ParseInt(resp.Header.Get("Upload-Offset"), 10, 64)
	if err != nil || next <= offset {
		return offset, importer.Errorf(importer.Internal, "the server took a part and did not say how far it is")
	}
	return next, nil
}

// partFailure is the error of a part that was refused; its body may be a
// problem, or the words of something in between.
func partFailure(resp *http.Response) error {
	var p problem
	if err := json.NewDecoder(io.LimitReader(resp.Body, 64<<10)).Decode(&p); err != nil || p.Code == "" {
		return importer.Errorf(codeOf(resp.StatusCode), "the server answered %s to a part of the file", resp.Status)
	}
	return &importer.Error{Code: p.Code, Message: p.Detail, Fields: p.Errors}
}

// uploadOffset asks how many bytes the server has kept.
func (c *Client) uploadOffset(ctx context.Context, location string) (int64, error) {
	r, err := c.tus(ctx).Head(location)
	if err != nil {
		return 0, unreachable(err)
	}
	if r.IsError() {
		return 0, importer.Errorf(codeOf(r.StatusCode()), "the server no longer knows this upload (%s); start it again", r.Status())
	}
	return strconv.ParseInt(r.Header().Get("Upload-Offset"), 10, 64)
}

func (c *Client) tus(ctx context.Context) *resty.Request {
	return c.request(ctx).SetHeader("Tus-Resumable", "1.0.0")
}

// worthRetrying reports whether the same request can succeed later: no answer,
// an overloaded server, or an offset that has moved on.
func worthRetrying(err error) bool {
	var e *importer.Error
	if !errors.As(err, &e) {
		return false
	}
	return e.Code == importer.Unavailable || e.Code == importer.Limited || e.Code == importer.Conflict || e.Code == importer.Internal
}

// part is the body of one request. The transport may go on reading it for a
// moment after the request has failed, so it can be retired: from then on it
// reports nothing.
type part struct {
	r    io.Reader
	sent func(int64)

	mu      sync.Mutex
	at      int64
	err     error // of the file, to be kept apart from the connection's
	retired bool
}

func (p *part) Read(b []byte) (int, error) {
	n, err := p.r.Read(b)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.at += int64(n)
	if err != nil && err != io.EOF {
		p.err = fmt.Errorf("read the file at %d: %w", p.at, err)
	}
	if n > 0 && !p.retired {
		p.sent(p.at)
	}
	return n, err
}

func (p *part) retire() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.retired = true
	return p.err
}
