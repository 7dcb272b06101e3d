package db_test

import (
	"crypto/sha256"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"

	"importer"
	"importer/db"
	"importer/db/dbtest"
)

func secretOf(s string) importer.Secret { return sha256.Sum256([]byte(s)) }

func session(t *testing.T, d *db.DB, secret string) importer.Session {
	t.Helper()
	s, err := d.StartSession(t.Context(), importer.Session{Address: "203.0.113.7", Browser: "A browser\x00\xff"}, secretOf(secret))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func noAccess(t *testing.T, what string, err error, want importer.Code) {
	t.Helper()
	if importer.ErrorCode(err) != want {
		t.Errorf("%s: %v, want %s", what, err, want)
	}
}

func TestSessions(t *testing.T) {
	t.Parallel()
	url := dbtest.URL(t)
	ctx, d, conn := t.Context(), dbtest.OpenURL(t, url), connect(t, url)
	one, two := session(t, d, "one"), session(t, d, "two")
	got, err := d.UseSession(ctx, secretOf("one"))
	if err != nil || got.ID != one.ID || got.Address != "203.0.113.7" || got.Browser != "A browser\uFFFD\uFFFD" {
		t.Errorf("got %+v, %v", got, err)
	}
	if idle := got.ExpiresAt.Sub(got.SeenAt); idle != importer.SessionIdle {
		t.Errorf("it lasts %v without a request, want %v", idle, importer.SessionIdle)
	}
	_, err = d.UseSession(ctx, secretOf("three"))
	noAccess(t, "an unknown one", err, importer.Unauthorized)
	list, err := d.Sessions(ctx)
	if err != nil || len(list) != 2 || list[0].ID != two.ID {
		t.Errorf("sessions: %+v, %v", list, err)
	}

	// A request a day later keeps it; two days without one end it.
	mustExec(t, conn, "UPDATE sessions SET seen_at = now() - interval '23 hours' WHERE id = $1", one.ID)
	if _, err := d.UseSession(ctx, secretOf("one")); err != nil {
		t.Fatal(err)
	}
	if got, err = d.UseSession(ctx, secretOf("one")); err != nil || time.Since(got.SeenAt) > time.Hour {
		t.Errorf("it was seen at %v, %v", got.SeenAt, err)
	}
	mustExec(t, conn, "UPDATE sessions SET seen_at = now() - interval '25 hours' WHERE id = $1", one.ID)
	_, err = d.UseSession(ctx, secretOf("one"))
	noAccess(t, "an idle one", err, importer.Unauthorized)
	// At the end of its life nothing prolongs it.
	mustExec(t, conn, "UPDATE sessions SET ends_at = now() + interval '1 minute' WHERE id = $1", two.ID)
	if got, err := d.UseSession(ctx, secretOf("two")); err != nil || time.Until(got.ExpiresAt) > time.Minute {
		t.Errorf("expires at %v, %v, want within a minute", got.ExpiresAt, err)
	}
	mustExec(t, conn, "UPDATE sessions SET ends_at = now() WHERE id = $1", two.ID)
	_, err = d.UseSession(ctx, secretOf("two"))
	noAccess(t, "an old one", err, importer.Unauthorized)
	session(t, d, "next")
	var left int
	if err := conn.QueryRow(ctx, "SELECT count(*) FROM sessions").Scan(&left); err != nil || left != 1 {
		t.Errorf("%d sessions are kept, %v, want the one that is alive", left, err)
	}
}

func TestSessionsEnd(t *testing.T) {
	t.Parallel()
	ctx, d := t.Context(), dbtest.Open(t)
	one, two := session(t, d, "one"), session(t, d, "two")
	caller := importer.Caller{Kind: importer.CallerSession, ID: one.ID}
	if ok, err := d.Holds(ctx, caller); err != nil || !ok {
		t.Errorf("holds: %v, %v", ok, err)
	}
	if hash, err := d.Password(ctx); err != nil || hash != "" {
		t.Errorf("password %q, %v, want none", hash, err)
	}
	for _, hash := range []string{"first", "second"} {
		if err := d.SetPassword(ctx, hash, two.ID); err != nil {
			t.Fatal(err)
		}
		if got, err := d.Password(ctx); err != nil || got != hash {
			t.Errorf("password %q, %v, want %q", got, err, hash)
		}
	}
	_, err := d.UseSession(ctx, secretOf("one"))
	noAccess(t, "after a new password", err, importer.Unauthorized)
	if ok, err := d.Holds(ctx, caller); err != nil || ok {
		t.Errorf("after a new password it holds: %v, %v", ok, err)
	}
	if _, err := d.UseSession(ctx, secretOf("two")); err != nil {
		t.Errorf("the one that set it: %v", err)
	}
	if err := d.EndSession(ctx, two.ID); err != nil {
		t.Fatal(err)
	}
	_, err = d.UseSession(ctx, secretOf("two"))
	noAccess(t, "one that was ended", err, importer.Unauthorized)
	noAccess(t, "end it again", d.EndSession(ctx, two.ID), importer.NotFound)
}

func TestTokens(t *testing.T) {
	t.Parallel()
	url := dbtest.URL(t)
	ctx, d, conn := t.Context(), dbtest.OpenURL(t, url), connect(t, url)
	soon := time.Now().Add(time.Hour).UTC().Truncate(time.Microsecond)
	made, err := d.CreateToken(ctx, importer.Token{Name: "supplier", Scope: importer.ScopeImport, Hint: "abcd", ExpiresAt: &soon}, secretOf("imp_abcd"))
	if err != nil {
		t.Fatal(err)
	}
	if made.Name != "supplier" || made.Scope != importer.ScopeImport || made.Hint != "abcd" || !made.ExpiresAt.Equal(soon) || made.LastUsedAt != nil {
		t.Errorf("made %+v", made)
	}
	if got, err := d.UseToken(ctx, secretOf("imp_abcd")); err != nil || got.ID != made.ID || got.Scope != importer.ScopeImport {
		t.Errorf("used %+v, %v", got, err)
	}
	_, err = d.UseToken(ctx, secretOf("imp_abce"))
	noAccess(t, "an unknown one", err, importer.Unauthorized)
	list, err := d.Tokens(ctx)
	if err != nil || len(list) != 1 || list[0].LastUsedAt == nil || list[0].Token != "" {
		t.Errorf("tokens: %+v, %v", list, err)
	}
	caller := importer.Caller{Kind: importer.CallerToken, ID: made.ID}
	if ok, err := d.Holds(ctx, caller); err != nil || !ok {
		t.Errorf("holds: %v, %v", ok, err)
	}
	mustExec(t, conn, "UPDATE api_tokens SET expires_at = now()")
	_, err = d.UseToken(ctx, secretOf("imp_abcd"))
	noAccess(t, "an expired one", err, importer.Unauthorized)
	if ok, err := d.Holds(ctx, caller); err != nil || ok {
		t.Errorf("expired, it holds: %v, %v", ok, err)
	}
	if err := d.RevokeToken(ctx, made.ID); err != nil {
		t.Fatal(err)
	}
	noAccess(t, "revoke again", d.RevokeToken(ctx, made.ID), importer.NotFound)

	mustExec(t, conn, `INSERT INTO api_tokens (id, secret, name, scope, hint)
		SELECT gen_random_uuid(), convert_to(n::text, 'UTF8'), 'many', 'read', '' FROM generate_series(1, $1) AS n`, importer.MaxTokens)
	_, err = d.CreateToken(ctx, importer.Token{Name: "one more", Scope: importer.ScopeRead}, secretOf("more"))
	noAccess(t, "one too many", err, importer.Conflict)
}

// TestTickets: a ticket is its caller, once, and not for long.
func TestTickets(t *testing.T) {
	t.Parallel()
	url := dbtest.URL(t)
	ctx, d, conn := t.Context(), dbtest.OpenURL(t, url), connect(t, url)
	want := importer.Caller{Kind: importer.CallerToken, ID: uuid.New(), Name: "shop", Scope: importer.ScopeRead, Expires: time.Now().Add(time.Hour).UTC().Truncate(time.Microsecond)}
	expires, err := d.CreateTicket(ctx, want, secretOf("ticket"))
	if err != nil || time.Until(expires) > importer.TicketLife {
		t.Errorf("expires at %v, %v", expires, err)
	}
	if got, err := d.UseTicket(ctx, secretOf("ticket")); err != nil || got != want {
		t.Errorf("got %+v, %v, want %+v", got, err, want)
	}
	_, err = d.UseTicket(ctx, secretOf("ticket"))
	noAccess(t, "again", err, importer.Unauthorized)

	for _, secret := range []string{"late", "later"} {
		if _, err := d.CreateTicket(ctx, importer.Caller{Kind: importer.CallerSession, ID: uuid.New(), Scope: importer.ScopeAdmin}, secretOf(secret)); err != nil {
			t.Fatal(err)
		}
		mustExec(t, conn, "UPDATE ws_tickets SET expires_at = now() - interval '1 second'")
	}
	_, err = d.UseTicket(ctx, secretOf("later"))
	noAccess(t, "too late", err, importer.Unauthorized)
	var kept [][]byte
	if err := conn.QueryRow(ctx, "SELECT array_agg(secret) FROM ws_tickets").Scan(&kept); err != nil {
		t.Fatal(err)
	}
	later := secretOf("later")
	if len(kept) != 1 || !slices.Equal(kept[0], later[:]) {
		t.Errorf("%d tickets are kept, want the last one", len(kept))
	}
}
