package httpd_test

import (
	"bytes"
	"context"
	"net/http"
	"path"
	"strconv"
	"strings"
	"testing"

	"github.com/google/uuid"

	"importer"
	"importer/httpd"
)

// A cancel that meets the end of an upload comes before the file is
// registered, and then the upload has no effect, or after that.
func TestCancelMeetsTheEndOfAnUpload(t *testing.T) {
	t.Parallel()
	content := csv(2_000)
	cancel := func(b *bench, id uuid.UUID) {
		got := decode[importer.Import](b, b.do("POST", "/api/imports/"+id.String()+"/cancel", nil), http.StatusOK)
		if got.State != importer.Cancelled {
			b.t.Errorf("got state %q, want cancelled", got.State)
		}
	}
	cancelled := func(b *bench) importer.Import {
		imp, err := b.store.only()
		if err != nil || imp.State != importer.Cancelled {
			b.t.Errorf("got %s import (%v), want it cancelled", imp.State, err)
		}
		return imp
	}
	refused := func(b *bench, r reply, status int, code importer.Code) {
		if p := b.problem(r, status, code); !strings.Contains(p.Detail, "cancelled") {
			b.t.Errorf("got detail %q, want it to say that the import was cancelled", p.Detail)
		}
	}
	before := func(t *testing.T) *bench {
		var b *bench
		b = setup(t, func(o *httpd.Options) {
			o.Spool = &sealing{o.Spool, func(id uuid.UUID) { cancel(b, id) }}
		})
		return b
	}
	after := func(t *testing.T) *bench {
		var b *bench
		b = setup(t, func(o *httpd.Options) {
			o.Imports = &registering{ImportStore: o.Imports, after: func(id uuid.UUID) { cancel(b, id) }}
		})
		return b
	}

	t.Run("before, in one piece", func(t *testing.T) {
		t.Parallel()
		b := before(t)
		refused(b, b.do("POST", "/api/imports", bytes.NewReader(content)), http.StatusConflict, importer.Conflict)
		cancelled(b)
		b.nothingLeft()
	})
	// 404, for 409 is what a client of tus tries again.
	t.Run("before, in parts", func(t *testing.T) {
		t.Parallel()
		b := before(t)
		location := createTus(b, len(content))
		refused(b, b.patch(location, 0, content), http.StatusNotFound, importer.NotFound)
		cancelled(b)
		b.nothingLeft()
		if got := b.do("HEAD", location, nil, "Tus-Resumable", tusVersion).status; got != http.StatusNotFound {
			t.Errorf("got status %d for the upload, want it gone", got)
		}
	})
	t.Run("after, in one piece", func(t *testing.T) {
		t.Parallel()
		b := after(t)
		refused(b, b.do("POST", "/api/imports", bytes.NewReader(content)), http.StatusConflict, importer.Conflict)
		if imp := cancelled(b); !bytes.Equal(b.stored(imp.ID), content) {
			t.Error("the whole file is not there for a retry")
		}
	})
	t.Run("after, in parts", func(t *testing.T) {
		t.Parallel()
		b := after(t)
		location := createTus(b, len(content))
		b.patch(location, 0, content)
		cancelled(b)
		if !bytes.Equal(b.stored(uuid.MustParse(path.Base(location))), content) {
			t.Error("the whole file is not there for a retry")
		}
		// The client that missed the answer must not start anew.
		if got, want := b.offset(location), strconv.Itoa(len(content)); got != want {
			t.Errorf("got offset %s, want the whole file, %s", got, want)
		}
	})
}

// sealing calls before with each file that is about to be sealed.
type sealing struct {
	importer.Spool
	before func(uuid.UUID)
}

func (s *sealing) Seal(ctx context.Context, id uuid.UUID) error {
	s.before(id)
	return s.Spool.Seal(ctx, id)
}

// registering calls before, which may fail, and after for each upload that is
// registered. Either may be nil.
type registering struct {
	importer.ImportStore
	before func() error
	after  func(uuid.UUID)
}

func (r *registering) Uploaded(ctx context.Context, id uuid.UUID, size int64) (importer.Import, error) {
	if r.before != nil {
		if err := r.before(); err != nil {
			return importer.Import{}, err
		}
	}
	imp, err := r.ImportStore.Uploaded(ctx, id, size)
	if r.after != nil {
		r.after(id)
	}
	return imp, err
}
