package httpd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"time"

	"github.com/google/uuid"
	"github.com/rs/zerolog"

	"importer"
)

// uploadFile takes a file in one request, as the raw body or as the field
// "file" of a multipart form. The import exists, and is read, while the file
// arrives; a file that does not arrive whole leaves nothing behind but the
// failed import.
func (s *Server) uploadFile(w http.ResponseWriter, r *http.Request) {
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		refuse(w, r, importer.Errorf(importer.Malformed, "The query cannot be read: %v.", err))
		return
	}
	n, err := newImport(query)
	if err == nil {
		err = s.checkLength(r, &n)
	}
	if err != nil {
		refuse(w, r, err)
		return
	}
	// The options and the length stand for the body, which nobody wants to
	// read twice to compare it.
	request := fmt.Sprintf("POST /api/imports %s %d", query.Encode(), r.ContentLength)
	imp, replayed, err := once(r.Context(), s, r.Header.Get("Idempotency-Key"), request, func() (importer.Import, error) {
		t := newTransfer(w, s.UploadIdle)
		file, err := openUpload(r, t, s.MaxUpload, &n)
		if err != nil {
			return importer.Import{}, err
		}
		return s.receive(r.Context(), n, t, file)
	})
	if err != nil {
		refuse(w, r, err)
		return
	}
	if replayed {
		w.Header().Set("Idempotency-Replayed", "true")
		letGo(w)
	}
	w.Header().Set("Location", "/api/imports/"+imp.ID.String())
	writeJSON(w, http.StatusAccepted, shown(imp))
}

// checkLength refuses what is too large by its own account before anything is
// made, and notes the size of a raw body.
func (s *Server) checkLength(r *http.Request, n *importer.NewImport) error {
	limit := s.MaxUpload
	if isMultipart(r) {
		limit += formOverhead
	} else {
		n.Size = max(0, r.ContentLength)
	}
	if r.ContentLength > limit {
		return tooLarge(s.MaxUpload)
	}
	return nil
}

// receive takes a file from its first byte to the queued import. A client that
// hangs up after the last byte has delivered all the same, so only its body
// says that it is gone.
func (s *Server) receive(ctx context.Context, n importer.NewImport, t *transfer, file io.Reader) (importer.Import, error) {
	ctx = context.WithoutCancel(ctx)
	claim, err := s.begin(ctx, n)
	if err != nil {
		return importer.Import{}, err
	}
	id := claim.ID
	s.transfers.add(id, t)
	defer s.transfers.remove(t)
	size, err := s.Spool.Append(ctx, id, 0, s.counted(file, id, 0))
	if err == nil {
		var imp importer.Import
		// The client would have to send it all again. The answer has to fit
		// behind the wait.
		t.extend(s.StorePatience)
		if imp, err = s.finish(ctx, id, size, s.StorePatience); err == nil && !t.stopped.Load() {
			return imp, nil
		}
	}
	switch {
	case t.stopped.Load():
		err = errCancelled
	case importer.ErrorCode(err) == importer.NotFound:
		err = errEndedElsewhere
	}
	err = uploadError(err, size)
	s.abandon(ctx, id, err)
	return importer.Import{}, err
}

// begin registers an import and makes room for its file before anybody starts
// to read it.
func (s *Server) begin(ctx context.Context, n importer.NewImport) (importer.Claim, error) {
	n.Filename = baseName(n.Filename)
	claim, err := s.Imports.CreateImport(ctx, n, s.Node)
	if err != nil {
		return claim, err
	}
	zerolog.Ctx(ctx).Info().Stringer("import_id", claim.ID).Msg("import created")
	if err := s.Spool.Create(ctx, claim.ID); err != nil {
		s.abandon(ctx, claim.ID, err)
		return claim, err
	}
	s.Importer.Begin(claim)
	return claim, nil
}

// finish registers a file that is whole, within patience if the database is
// away; 0 is one try, for clients that try again by themselves.
func (s *Server) finish(ctx context.Context, id uuid.UUID, size int64, patience time.Duration) (importer.Import, error) {
	if err := s.Spool.Seal(ctx, id); err != nil {
		return importer.Import{}, err
	}
	s.Importer.Received(id, size)
	imp, err := s.register(ctx, id, size, patience)
	if err != nil {
		return importer.Import{}, err
	}
	s.Importer.Wake(id)
	return imp, nil
}

// uploadEnded says that an import ended before its file was registered: it
// was cancelled, or failed by another machine that did not hear of this one.
type uploadEnded struct{ conflict *importer.Error }

func (e *uploadEnded) Error() string { return e.conflict.Error() }
func (e *uploadEnded) Unwrap() error { return e.conflict }

// askAgain is how often a database is tried that is away.
const askAgain = 250 * time.Millisecond

func (s *Server) register(ctx context.Context, id uuid.UUID, size int64, patience time.Duration) (importer.Import, error) {
	patient, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		imp, err := s.Imports.Uploaded(ctx, id, size)
		e, _ := errors.AsType[*importer.Error](err)
		switch {
		case e == nil:
			return imp, err
		case e.Code == importer.Conflict:
			return imp, &uploadEnded{e}
		case e.Code != importer.Unavailable || patience == 0:
			return imp, err
		}
		select {
		case <-time.After(askAgain):
		case <-patient.Done():
			return imp, &importer.Error{
				Code:    importer.Unavailable,
				Message: "The file has arrived, but the database that has to know of it cannot be reached. Upload it again in a moment.",
				Err:     err,
			}
		}
	}
}

// abandon ends an import whose file will not come. It outlives the request:
// the client may be the one that is gone.
func (s *Server) abandon(ctx context.Context, id uuid.UUID, why error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	reason := importer.ImportError{Code: importer.PipelineFailed, Message: "The upload failed on the server; upload the file again."}
	if e, ok := errors.AsType[*importer.Error](why); ok {
		reason = importer.ImportError{Code: e.Code, Message: e.Message}
	}
	err := s.Imports.UploadFailed(ctx, id, reason)
	if importer.ErrorCode(err) == importer.Conflict {
		// It was cancelled. If that came after the upload, the file stays for a retry.
		var imp importer.Import
		if imp, err = s.Imports.Import(ctx, id); err == nil && imp.Whole {
			return
		}
	}
	s.Importer.Stop(id)
	if err != nil {
		zerolog.Ctx(ctx).Warn().Err(err).Stringer("import_id", id).Msg("upload could not be marked as failed; it will expire")
		return
	}
	s.discard(ctx, id)
}

// discard removes the file of an import that has ended.
func (s *Server) discard(ctx context.Context, id uuid.UUID) {
	if err := s.Spool.Remove(ctx, id); err != nil {
		zerolog.Ctx(ctx).Error().Err(err).Stringer("import_id", id).Msg("uploaded file could not be removed")
	}
}

// uploadError says of an error that broke an upload off what the client may
// know. An error without a code came from the connection.
func uploadError(err error, received int64) error {
	if _, ok := errors.AsType[*importer.Error](err); ok {
		return err
	}
	if _, ok := errors.AsType[*readError](err); !ok {
		return err
	}
	return &importer.Error{
		Code:    importer.UploadIncomplete,
		Message: fmt.Sprintf("The connection broke after %d bytes of the file; upload it again.", received),
		Err:     err,
	}
}

// refuse answers a request whose body is not wanted.
func refuse(w http.ResponseWriter, r *http.Request, err error) {
	letGo(w)
	fail(w, r, err)
}

// letGo ends the connection with the answer: to read the rest of the body
// would take as long as the upload.
func letGo(w http.ResponseWriter) {
	w.Header().Set("Connection", "close")
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(answerTime))
}

func isMultipart(r *http.Request) bool {
	kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
	return kind == "multipart/form-data"
}

func tooLarge(limit int64) error {
	return importer.Errorf(importer.TooLarge, "The file is over the limit of %d bytes; split it, or raise the limit.", limit)
}
