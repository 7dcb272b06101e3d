package httpd

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"

	"github.com/tus/tusd/v2/pkg/handler"
	"github.com/tus/tusd/v2/pkg/memorylocker"
	"golang.org/x/exp/slog"

	"importer"
)

const uploadsPath = "/api/uploads/"

// tusRoutes are the requests of tus 1.0.0 (https://tus.io/protocols/resumable-upload)
// with creation, creation-with-upload and termination.
type tusRoutes struct{ options, create, offset, append, terminate http.Handler }

// tus serves uploads in parts. The upload's id is the import's, the bytes are
// in the spool and all else is in the import, so an upload goes on after the
// server was away.
func (s *Server) tus() (tusRoutes, error) {
	composer := handler.NewStoreComposer()
	store := tusStore{s}
	composer.UseCore(store)
	composer.UseTerminater(store)
	composer.UseLocker(memorylocker.New())
	h, err := handler.NewUnroutedHandler(handler.Config{
		StoreComposer:        composer,
		MaxSize:              s.MaxUpload,
		BasePath:             uploadsPath,
		DisableDownload:      true,
		DisableConcatenation: true,
		Cors:                 &handler.CorsConfig{Disable: true},
		NetworkTimeout:       s.UploadIdle,
		// What the store does on behalf of a client that is gone is to sync
		// what it has, and that does not look at a context.
		GracefulRequestCompletionTimeout: 1,
		Logger:                           slog.New(slog.NewTextHandler(io.Discard, &slog.HandlerOptions{Level: slog.LevelError + 1})),
	})
	if err != nil {
		return tusRoutes{}, err
	}
	route := func(f http.HandlerFunc) http.Handler {
		return s.tusAnswers(http.StripPrefix(strings.TrimSuffix(uploadsPath, "/"), h.Middleware(f)))
	}
	return tusRoutes{
		options:   route(func(http.ResponseWriter, *http.Request) {}), // the middleware answers
		create:    route(h.PostFile),
		offset:    route(h.HeadFile),
		append:    route(h.PatchFile),
		terminate: route(h.DelFile),
	}, nil
}

// tusAnswers puts our body reader under tusd, and problems in place of its
// plain texts.
func (s *Server) tusAnswers(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		t := newTransfer(w, 0) // tusd sets deadlines itself
		defer s.transfers.remove(t)
		r = r.WithContext(withTransfer(r.Context(), t))
		r.Header.Del("X-HTTP-Method-Override") // the method decides the route
		r.Body = struct {
			io.Reader
			io.Closer
		}{t.reader(r.Body), r.Body}
		answer := &tusAnswer{ResponseWriter: w, request: r}
		next.ServeHTTP(answer, r)
		answer.finish()
	})
}

// tusAnswer holds an error back until its text is there, and makes Location
// relative: behind a proxy the server does not know its own scheme and host.
type tusAnswer struct {
	http.ResponseWriter
	request *http.Request
	status  int // of an error that is held back
	text    strings.Builder
}

func (a *tusAnswer) WriteHeader(status int) {
	h := a.Header()
	if at := h.Get("Location"); at != "" {
		h.Set("Location", at[strings.LastIndex(at, uploadsPath):])
	}
	if status >= http.StatusBadRequest {
		a.status = status
		return
	}
	a.ResponseWriter.WriteHeader(status)
}

func (a *tusAnswer) Write(p []byte) (int, error) {
	if a.status != 0 {
		return a.text.Write(p)
	}
	return a.ResponseWriter.Write(p)
}

func (a *tusAnswer) Unwrap() http.ResponseWriter { return a.ResponseWriter }

func (a *tusAnswer) finish() {
	if a.status == 0 {
		return
	}
	if a.request.Method == http.MethodHead {
		a.Header().Del("Content-Length")
		a.ResponseWriter.WriteHeader(a.status)
		return
	}
	var ours Problem
	if json.Unmarshal([]byte(a.text.String()), &ours) == nil && ours.Code != "" {
		writeProblem(a.ResponseWriter, &ours)
		return
	}
	_, detail, _ := strings.Cut(strings.TrimSpace(a.text.String()), ": ") // "ERR_NAME: what is wrong"
	if detail != "" {
		detail = strings.ToUpper(detail[:1]) + detail[1:] + "."
	}
	writeProblem(a.ResponseWriter, newProblem(a.status, codeOf(a.status), detail, nil))
}

// tusError carries a problem through tusd.
func tusError(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	if e, ok := errors.AsType[handler.Error](err); ok {
		return e
	}
	p := problemOf(ctx, err)
	text, err := json.Marshal(p)
	if err != nil {
		return err
	}
	return handler.Error{ErrorCode: string(p.Code), Message: p.Detail, HTTPResponse: handler.HTTPResponse{StatusCode: p.Status, Body: string(text)}}
}

// tusStore is what tusd keeps uploads in.
type tusStore struct{ *Server }

// NewUpload creates the import of an upload that begins.
func (s tusStore) NewUpload(ctx context.Context, info handler.FileInfo) (handler.Upload, error) {
	n, err := tusImport(info)
	if err != nil {
		return nil, tusError(ctx, err)
	}
	claim, err := s.begin(context.WithoutCancel(ctx), n)
	if err != nil {
		return nil, tusError(ctx, err)
	}
	return &tusUpload{Server: s.Server, imp: claim.Import, meta: info.MetaData}, nil
}

// GetUpload finds an upload that can go on or has arrived. One whose import
// ended before that is gone: tus clients then start anew.
func (s tusStore) GetUpload(ctx context.Context, name string) (handler.Upload, error) {
	id, err := parseID(name)
	if err != nil {
		return nil, tusError(ctx, err)
	}
	imp, err := s.Imports.Import(ctx, id)
	if err != nil {
		return nil, tusError(ctx, err)
	}
	if !imp.Resumable {
		return nil, tusError(ctx, importer.Errorf(importer.NotFound, "Import %s is not uploaded in parts.", id))
	}
	if imp.State.Ended() && !imp.Whole {
		return nil, tusError(ctx, importer.Errorf(importer.NotFound, "The import of this upload has ended (%s); upload the file again.", imp.State))
	}
	u := &tusUpload{Server: s.Server, imp: imp}
	if err := u.measure(ctx); err != nil {
		return nil, tusError(ctx, err)
	}
	return u, nil
}

// AsTerminatableUpload lets tusd delete.
func (tusStore) AsTerminatableUpload(u handler.Upload) handler.TerminatableUpload {
	return u.(*tusUpload)
}

// tusUpload is one upload for the time of one request.
type tusUpload struct {
	*Server
	imp    importer.Import
	offset int64
	meta   handler.MetaData
}

// measure finds out how much has arrived. An upload that is whole but was not
// registered, because the database or the server went away at that moment, is
// registered now.
func (u *tusUpload) measure(ctx context.Context) error {
	if u.imp.State != importer.Uploading {
		u.offset = u.imp.Size
		return nil
	}
	size, err := u.Spool.Size(ctx, u.imp.ID)
	if err != nil {
		return err
	}
	u.offset = size
	if size < u.imp.Size {
		return nil
	}
	return u.FinishUpload(ctx)
}

func (u *tusUpload) GetInfo(context.Context) (handler.FileInfo, error) {
	return handler.FileInfo{ID: u.imp.ID.String(), Size: u.imp.Size, Offset: u.offset, MetaData: u.meta}, nil
}

// WriteChunk adds a part, also one that breaks off.
func (u *tusUpload) WriteChunk(ctx context.Context, offset int64, src io.Reader) (int64, error) {
	t := transferOf(ctx)
	id := u.imp.ID
	u.transfers.add(id, t)
	n, err := u.Spool.Append(context.WithoutCancel(ctx), id, offset, u.counted(src, id, offset))
	u.offset = offset + n
	if err != nil || u.offset < u.imp.Size { // else FinishUpload is next
		u.transfers.remove(t) // from here on a cancel removes the file itself
	}
	u.Importer.Received(id, u.offset)
	switch {
	case t.stopped.Load():
		u.discard(context.WithoutCancel(ctx), id)
		return n, tusError(ctx, &importer.Error{Code: importer.NotFound, Message: errCancelled.Message})
	case importer.ErrorCode(err) == importer.NotFound: // ended by another machine
		u.discard(context.WithoutCancel(ctx), id)
	case importer.ErrorCode(err) == importer.StorageFull:
		u.abandon(ctx, id, err) // also to give the space back
	}
	return n, tusError(ctx, err)
}

// FinishUpload registers the whole file. When the import was cancelled, the
// upload is gone: a client of tus would try again after a 409.
func (u *tusUpload) FinishUpload(ctx context.Context) error {
	_, err := u.finish(context.WithoutCancel(ctx), u.imp.ID, u.imp.Size, 0)
	if ended, ok := errors.AsType[*uploadEnded](err); ok {
		u.abandon(ctx, u.imp.ID, ended)
		err = &importer.Error{Code: importer.NotFound, Message: ended.conflict.Message}
	}
	return tusError(ctx, err)
}

// Terminate cancels the import.
func (u *tusUpload) Terminate(ctx context.Context) error {
	_, err := u.cancel(ctx, u.imp.ID)
	return tusError(ctx, err)
}

// GetReader is for downloads, which are off.
func (u *tusUpload) GetReader(context.Context) (io.ReadCloser, error) {
	return nil, handler.ErrNotImplemented
}

// tusImport reads Upload-Metadata: filename, dry_run, map_sku, map_name,
// map_description. Clients may send more for their own use.
func tusImport(info handler.FileInfo) (importer.NewImport, error) {
	n := importer.NewImport{Filename: info.MetaData["filename"], Size: info.Size, Resumable: true}
	query := make(map[string][]string, len(info.MetaData))
	for name, value := range info.MetaData {
		if field, ok := strings.CutPrefix(name, "map_"); ok {
			query["map["+field+"]"] = []string{value}
		} else if name == "dry_run" {
			query[name] = []string{value}
		}
	}
	options, err := newImport(query)
	n.DryRun, n.Mapping = options.DryRun, options.Mapping
	return n, err
}
