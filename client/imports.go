package client

import (
	"context"
	"strconv"

	"github.com/google/uuid"

	"importer"
)

// Import returns one import.
func (c *Client) Import(ctx context.Context, id uuid.UUID) (importer.Import, error) {
	r, err := c.request(ctx).SetResult(&importer.Import{}).Get("/api/imports/" + id.String())
	return finish[importer.Import](r, err)
}

// Imports lists imports, newest first.
func (c *Client) Imports(ctx context.Context, p importer.ImportPage) (importer.Page[importer.Import], error) {
	q := c.request(ctx)
	for _, s := range p.States {
		q.QueryParam.Add("state", string(s))
	}
	if p.Before != "" {
		q.SetQueryParam("before", p.Before)
	}
	if p.Limit > 0 {
		q.SetQueryParam("limit", strconv.Itoa(p.Limit))
	}
	r, err := q.SetResult(&importer.Page[importer.Import]{}).Get("/api/imports")
	return finish[importer.Page[importer.Import]](r, err)
}

// Rejects lists the rejected rows of an import after line `after`.
func (c *Client) Rejects(ctx context.Context, id uuid.UUID, after int64, limit int) (importer.Page[importer.Reject], error) {
	r, err := c.request(ctx).
		SetQueryParams(map[string]string{"after": strconv.FormatInt(after, 10), "limit": strconv.Itoa(limit)}).
		SetResult(&importer.Page[importer.Reject]{}).
		Get("/api/imports/" + id.String() + "/rejects")
	return finish[importer.Page[importer.Reject]](r, err)
}

// CancelImport ends an import. What it has written stays.
func (c *Client) CancelImport(ctx context.Context, id uuid.UUID) (importer.Import, error) {
	return c.act(ctx, id, "cancel")
}

// RetryImport starts a failed or cancelled import again where it stopped.
func (c *Client) RetryImport(ctx context.Context, id uuid.UUID) (importer.Import, error) {
	return c.act(ctx, id, "retry")
}

func (c *Client) act(ctx context.Context, id uuid.UUID, verb string) (importer.Import, error) {
	r, err := c.request(ctx).SetResult(&importer.Import{}).Post("/api/imports/" + id.String() + "/" + verb)
	return finish[importer.Import](r, err)
}
