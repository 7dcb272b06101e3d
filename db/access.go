package db

import (
	"context"
	"errors"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"importer"
)

// seenEvery is how fine the times of last use are: a request a second need not
// be a write a second.
const seenEvery = time.Minute

// Password implements importer.AccessStore.
func (d *DB) Password(ctx context.Context) (hash string, err error) {
	err = d.pool.QueryRow(ctx, "SELECT hash FROM access_password").Scan(&hash)
	if errors.Is(err, pgx.ErrNoRows) {
		return "", nil
	}
	return hash, domain("read the password", err)
}

// SetPassword implements importer.AccessStore.
func (d *DB) SetPassword(ctx context.Context, hash string, keep uuid.UUID) error {
	both := new(pgx.Batch)
	both.Queue(`INSERT INTO access_password (hash) VALUES ($1)
		ON CONFLICT (single) DO UPDATE SET hash = excluded.hash, changed_at = now()`, hash)
	both.Queue("DELETE FROM sessions WHERE id <> $1", keep)
	return domain("set the password", d.pool.SendBatch(ctx, both).Close())
}

// sessionColumns are those of a Session, in order.
const sessionColumns = "id, created_at, seen_at, least(ends_at, seen_at + $1::interval), address, browser"

func scanSession(row pgx.CollectableRow) (s importer.Session, err error) {
	err = row.Scan(&s.ID, &s.CreatedAt, &s.SeenAt, &s.ExpiresAt, &s.Address, &s.Browser)
	s.CreatedAt, s.SeenAt, s.ExpiresAt = s.CreatedAt.UTC(), s.SeenAt.UTC(), s.ExpiresAt.UTC()
	return s, err
}

// StartSession implements importer.AccessStore; those that have ended go.
func (d *DB) StartSession(ctx context.Context, s importer.Session, secret importer.Secret) (importer.Session, error) {
	id, err := uuid.NewV7()
	if err != nil {
		return importer.Session{}, err
	}
	idle := interval(importer.SessionIdle)
	if _, err := d.pool.Exec(ctx, "DELETE FROM sessions WHERE least(ends_at, seen_at + $1::interval) < now()", idle); err != nil {
		return importer.Session{}, domain("forget sessions", err)
	}
	rows, err := d.pool.Query(ctx, `
		INSERT INTO sessions (id, secret, address, browser, ends_at) VALUES ($2, $3, $4, $5, now() + $6::interval)
		RETURNING `+sessionColumns, idle, id, secret[:], storable(s.Address), storable(s.Browser), interval(importer.SessionLife))
	if err != nil {
		return importer.Session{}, domain("start a session", err)
	}
	s, err = pgx.CollectExactlyOneRow(rows, scanSession)
	return s, domain("start a session", err)
}

// UseSession implements importer.AccessStore.
func (d *DB) UseSession(ctx context.Context, secret importer.Secret) (importer.Session, error) {
	rows, err := d.pool.Query(ctx, "SELECT "+sessionColumns+`
		FROM sessions WHERE secret = $2 AND least(ends_at, seen_at + $1::interval) > now()`, interval(importer.SessionIdle), secret[:])
	if err != nil {
		return importer.Session{}, accessError("find a session", err)
	}
	s, err := pgx.CollectExactlyOneRow(rows, scanSession)
	if err == nil && d.now().Sub(s.SeenAt) > seenEvery {
		_, err = d.pool.Exec(ctx, "UPDATE sessions SET seen_at = now() WHERE id = $1", s.ID)
	}
	return s, accessError("find a session", err)
}

// Sessions implements importer.AccessStore.
func (d *DB) Sessions(ctx context.Context) ([]importer.Session, error) {
	rows, err := d.pool.Query(ctx, "SELECT "+sessionColumns+`
		FROM sessions WHERE least(ends_at, seen_at + $1::interval) > now() ORDER BY id DESC LIMIT 1000`, interval(importer.SessionIdle))
	if err != nil {
		return nil, domain("list sessions", err)
	}
	list, err := pgx.CollectRows(rows, scanSession)
	return list, domain("list sessions", err)
}

// EndSession implements importer.AccessStore.
func (d *DB) EndSession(ctx context.Context, id uuid.UUID) error {
	return d.deleteAccess(ctx, "DELETE FROM sessions WHERE id = $1", id, "There is no such session.")
}

func (d *DB) deleteAccess(ctx context.Context, sql string, id uuid.UUID, missing string) error {
	done, err := d.pool.Exec(ctx, sql, id)
	if err == nil && done.RowsAffected() == 0 {
		return importer.Errorf(importer.NotFound, "%s", missing)
	}
	return domain("take access away", err)
}

// CreateTicket implements importer.AccessStore; those that have expired go.
func (d *DB) CreateTicket(ctx context.Context, c importer.Caller, secret importer.Secret) (time.Time, error) {
	if _, err := d.pool.Exec(ctx, "DELETE FROM ws_tickets WHERE expires_at < now()"); err != nil {
		return time.Time{}, domain("forget tickets", err)
	}
	var until *time.Time
	if !c.Expires.IsZero() {
		until = &c.Expires
	}
	var expires time.Time
	err := d.pool.QueryRow(ctx, `
		INSERT INTO ws_tickets (secret, kind, caller, name, scope, until, expires_at) VALUES ($1, $2, $3, $4, $5, $6, now() + $7::interval)
		RETURNING expires_at`, secret[:], string(c.Kind), c.ID, c.Name, string(c.Scope), until, interval(importer.TicketLife)).Scan(&expires)
	return expires.UTC(), domain("make a ticket", err)
}

// UseTicket implements importer.AccessStore.
func (d *DB) UseTicket(ctx context.Context, secret importer.Secret) (c importer.Caller, err error) {
	var until *time.Time
	err = d.pool.QueryRow(ctx, "DELETE FROM ws_tickets WHERE secret = $1 AND expires_at > now() RETURNING kind, caller, name, scope, until", secret[:]).
		Scan(&c.Kind, &c.ID, &c.Name, &c.Scope, &until)
	if until != nil {
		c.Expires = until.UTC()
	}
	return c, accessError("take a ticket", err)
}

// Holds implements importer.AccessStore.
func (d *DB) Holds(ctx context.Context, c importer.Caller) (holds bool, err error) {
	switch c.Kind {
	case importer.CallerSession:
		err = d.pool.QueryRow(ctx, "SELECT EXISTS (SELECT FROM sessions WHERE id = $1 AND ends_at > now())", c.ID).Scan(&holds)
	case importer.CallerToken:
		err = d.pool.QueryRow(ctx, "SELECT EXISTS (SELECT FROM api_tokens WHERE id = $1 AND (expires_at IS NULL OR expires_at > now()))", c.ID).Scan(&holds)
	default:
		holds = true
	}
	return holds, domain("look for a caller", err)
}

// accessError is domain for what opens no door.
func accessError(doing string, err error) error {
	if errors.Is(err, pgx.ErrNoRows) {
		return importer.Errorf(importer.Unauthorized, "These credentials are not known here, have expired or were revoked.")
	}
	return domain(doing, err)
}
