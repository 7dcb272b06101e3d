package db_test

import (
	"testing"
	"time"

	"github.com/google/uuid"

	"importer"
	"importer/db/dbtest"
)

func TestRestore(t *testing.T) {
	t.Parallel()
	url := dbtest.URL(t)
	d := dbtest.OpenURL(t, url)
	head, err := d.ReadLog(t.Context(), importer.TopicImports, 0, 1)
	if err != nil {
		t.Fatal(err)
	}
	session(t, d, "one")
	if _, err := d.CreateToken(t.Context(), importer.Token{Name: "a", Scope: importer.ScopeRead}, secretOf("token")); err != nil {
		t.Fatal(err)
	}
	if err := d.MachineSeen(t.Context(), importer.Machine{ID: nodeA, Name: "gone", StartedAt: time.Now()}); err != nil {
		t.Fatal(err)
	}
	left := created(t, d)
	mustExec(t, connect(t, url), "UPDATE imports SET state = 'scanning', lease_until = now() + interval '1 hour'")
	w := hook(t, d)

	done, err := d.Restore(t.Context(), false)
	if err != nil {
		t.Fatal(err)
	}
	if done.Sessions != 1 || done.Tokens != 1 || done.Webhooks != 0 {
		t.Errorf("got %+v", done)
	}
	if now, err := d.ReadLog(t.Context(), importer.TopicImports, 0, 1); err != nil || now.Epoch != done.Epoch || now.Epoch == head.Epoch {
		t.Errorf("the epoch was %s and is %s (%v), said to be %s", head.Epoch, now.Epoch, err, done.Epoch)
	}
	if _, err := d.UseSession(t.Context(), secretOf("one")); importer.ErrorCode(err) != importer.Unauthorized {
		t.Errorf("a session of before: %v", err)
	}
	if _, err := d.UseToken(t.Context(), secretOf("token")); err != nil {
		t.Errorf("a token of before: %v", err)
	}
	if s, err := d.Status(t.Context()); err != nil || len(s.Machines) != 0 {
		t.Errorf("machines %+v, %v", s.Machines, err)
	}
	if claims, err := d.ClaimImports(t.Context(), uuid.New(), 1); err != nil || len(claims) != 1 || claims[0].ID != left.ID {
		t.Errorf("what a machine of before had a lease of: %v, %v", claims, err)
	}
	again, err := d.Restore(t.Context(), true)
	if err != nil || again.Webhooks != 1 || again.Epoch == done.Epoch {
		t.Errorf("again, with webhooks paused: %+v, %v", again, err)
	}
	if now, err := d.Webhook(t.Context(), w.ID); err != nil || now.State != importer.WebhookPaused || now.Version != w.Version+1 {
		t.Errorf("the webhook is %s, version %d (%v)", now.State, now.Version, err)
	}
}
