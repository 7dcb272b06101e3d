package httpd

import (
	"context"

	"github.com/google/uuid"

	"importer"
)

type body[T any] struct{ Body T }

type importID struct {
	ID string `path:"id" doc:"The import's id (UUID)."`
}

type importQuery struct {
	State  []importer.State `query:"state,explode" enum:"uploading,queued,scanning,writing,completed,failed,cancelled" doc:"Only imports in one of these states; may be repeated."`
	Before string           `query:"before" doc:"The next of the page before."`
	Limit  int              `query:"limit" minimum:"1" maximum:"100" default:"50"`
}

func (s *Server) listImports(ctx context.Context, q *importQuery) (*body[importer.Page[importer.Import]], error) {
	page, err := s.Imports.Imports(ctx, importer.ImportPage{States: q.State, Before: q.Before, Limit: q.Limit})
	if err != nil {
		return nil, err
	}
	if page.Items == nil {
		page.Items = []importer.Import{}
	}
	for i := range page.Items {
		page.Items[i] = shown(page.Items[i])
	}
	return &body[importer.Page[importer.Import]]{page}, nil
}

func (s *Server) getImport(ctx context.Context, in *importID) (*body[importer.Import], error) {
	id, err := parseID(in.ID)
	if err != nil {
		return nil, err
	}
	imp, err := s.Imports.Import(ctx, id)
	if err != nil {
		return nil, err
	}
	return &body[importer.Import]{shown(imp)}, nil
}

func (s *Server) cancelImport(ctx context.Context, in *importID) (*body[importer.Import], error) {
	id, err := parseID(in.ID)
	if err != nil {
		return nil, err
	}
	imp, err := s.cancel(ctx, id)
	if err != nil {
		return nil, err
	}
	return &body[importer.Import]{shown(imp)}, nil
}

func (s *Server) retryImport(ctx context.Context, in *importID) (*body[importer.Import], error) {
	id, err := parseID(in.ID)
	if err != nil {
		return nil, err
	}
	imp, err := s.Imports.RetryImport(ctx, id)
	if err != nil {
		return nil, err
	}
	s.Importer.Wake(id)
	return &body[importer.Import]{shown(imp)}, nil
}

type rejectQuery struct {
	ID    string `path:"id" doc:"The import's id (UUID)."`
	After int64  `query:"after" minimum:"0" doc:"Only rows after this line of the file."`
	Limit int    `query:"limit" minimum:"1" maximum:"1000" default:"100"`
}

func (s *Server) listRejects(ctx context.Context, q *rejectQuery) (*body[importer.Page[importer.Reject]], error) {
	id, err := parseID(q.ID)
	if err != nil {
		return nil, err
	}
	page, err := s.Imports.Rejects(ctx, id, q.After, q.Limit)
	if err != nil {
		return nil, err
	}
	if page.Items == nil {
		page.Items = []importer.Reject{}
	}
	return &body[importer.Page[importer.Reject]]{page}, nil
}

// cancel ends an import, the work on it and, if its file is still arriving,
// the upload.
func (s *Server) cancel(ctx context.Context, id uuid.UUID) (importer.Import, error) {
	imp, err := s.Imports.CancelImport(ctx, id)
	if err != nil {
		return importer.Import{}, err
	}
	s.Importer.Stop(id)
	uploading := s.transfers.cut(id) // and that request removes the file
	if !imp.Whole && !uploading {
		s.discard(ctx, id)
	}
	return imp, nil
}

// parseID takes an id from a path. What is no UUID names no import either.
func parseID(s string) (uuid.UUID, error) {
	id, err := uuid.Parse(s)
	if err != nil {
		return uuid.Nil, importer.Errorf(importer.NotFound, "There is no import %q.", s)
	}
	return id, nil
}

// shown makes an import what the API promises: mapping is never null.
func shown(i importer.Import) importer.Import {
	if i.Mapping == nil {
		i.Mapping = map[string]string{}
	}
	return i
}
