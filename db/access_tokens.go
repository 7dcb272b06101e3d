package db

import (
	"context"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"importer"
)

// tokenColumns are those of a Token, in order.
const tokenColumns = "id, name, scope, hint, created_at, last_used_at, expires_at" //nolint:gosec // names of columns

func scanToken(row pgx.CollectableRow) (t importer.Token, err error) {
	err = row.Scan(&t.ID, &t.Name, &t.Scope, &t.Hint, &t.CreatedAt, &t.LastUsedAt, &t.ExpiresAt)
	t.CreatedAt = t.CreatedAt.UTC()
	t.LastUsedAt, t.ExpiresAt = utc(t.LastUsedAt), utc(t.ExpiresAt)
	return t, err
}

// CreateToken implements importer.AccessStore.
func (d *DB) CreateToken(ctx context.Context, t importer.Token, secret importer.Secret) (importer.Token, error) {
	id, err := uuid.NewV7()
	if err != nil {
		return importer.Token{}, err
	}
	rows, err := d.pool.Query(ctx, `
		INSERT INTO api_tokens (id, secret, name, scope, hint, expires_at)
		SELECT $1, $2, $3, $4, $5, $6 WHERE (SELECT count(*) FROM api_tokens) < $7
		RETURNING `+tokenColumns, id, secret[:], storable(t.Name), string(t.Scope), t.Hint, t.ExpiresAt, importer.MaxTokens)
	if err != nil {
		return importer.Token{}, domain("create a token", err)
	}
	made, err := pgx.CollectRows(rows, scanToken)
	if err != nil {
		return importer.Token{}, domain("create a token", err)
	}
	if len(made) == 0 {
		return importer.Token{}, importer.Errorf(importer.Conflict, "There are %d tokens already, which is as many as there may be. Revoke one that is not needed.", importer.MaxTokens)
	}
	return made[0], nil
}

// UseToken implements importer.AccessStore.
func (d *DB) UseToken(ctx context.Context, secret importer.Secret) (importer.Token, error) {
	rows, err := d.pool.Query(ctx, "SELECT "+tokenColumns+`
		FROM api_tokens WHERE secret = $1 AND (expires_at IS NULL OR expires_at > now())`, secret[:])
	if err != nil {
		return importer.Token{}, accessError("find a token", err)
	}
	t, err := pgx.CollectExactlyOneRow(rows, scanToken)
	if err != nil {
		return importer.Token{}, accessError("find a token", err)
	}
	if t.LastUsedAt == nil || d.now().Sub(*t.LastUsedAt) > seenEvery {
		_, err = d.pool.Exec(ctx, "UPDATE api_tokens SET last_used_at = now() WHERE id = $1", t.ID)
	}
	return t, domain("find a token", err)
}

// Tokens implements importer.AccessStore.
func (d *DB) Tokens(ctx context.Context) ([]importer.Token, error) {
	rows, err := d.pool.Query(ctx, "SELECT "+tokenColumns+" FROM api_tokens ORDER BY id DESC")
	if err != nil {
		return nil, domain("list tokens", err)
	}
	list, err := pgx.CollectRows(rows, scanToken)
	return list, domain("list tokens", err)
}

// RevokeToken implements importer.AccessStore.
func (d *DB) RevokeToken(ctx context.Context, id uuid.UUID) error {
	return d.deleteAccess(ctx, "DELETE FROM api_tokens WHERE id = $1", id, "There is no such token.")
}
