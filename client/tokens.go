package client

import (
	"context"
	"time"

	"github.com/google/uuid"

	"importer"
)

// Tokens lists all API tokens, newest first.
func (c *Client) Tokens(ctx context.Context) ([]importer.Token, error) {
	type answer struct{ Items []importer.Token }
	r, err := c.request(ctx).SetResult(&answer{}).Get("/api/tokens")
	a, err := finish[answer](r, err)
	return a.Items, err
}

// CreateToken makes an API token; expires is zero for one that never does. Its
// answer is the only one with the token itself in it.
func (c *Client) CreateToken(ctx context.Context, name string, scope importer.Scope, expires time.Time) (importer.Token, error) {
	fields := map[string]any{"name": name, "scope": scope}
	if !expires.IsZero() {
		fields["expires_at"] = expires.UTC()
	}
	r, err := c.request(ctx).SetBody(fields).SetResult(&importer.Token{}).Post("/api/tokens")
	return finish[importer.Token](r, err)
}

// RevokeToken ends a token at once, and its sockets within a heartbeat.
func (c *Client) RevokeToken(ctx context.Context, id uuid.UUID) error {
	return done(c.request(ctx).Delete("/api/tokens/" + id.String()))
}

// CreateTicket makes what opens one WebSocket with the rights of this client,
// at /ws?ticket=…, for a page that cannot have the token itself. It is good
// for importer.TicketLife.
func (c *Client) CreateTicket(ctx context.Context) (ticket string, expires time.Time, err error) {
	type answer struct {
		Ticket    string
		ExpiresAt time.Time `json:"expires_at"`
	}
	r, err := c.request(ctx).SetResult(&answer{}).Post("/api/ws-tickets")
	a, err := finish[answer](r, err)
	return a.Ticket, a.ExpiresAt, err
}
