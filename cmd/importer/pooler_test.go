package main

import (
	"strings"
	"sync"
	"testing"

	"importer"
	"importer/db/dbtest"
	"importer/internal/sample"
)

// TestBehindATransactionPooler runs two machines behind a PgBouncer that gives
// each transaction another session. What is done on one is seen on the other:
// at once where there is a way past it to listen on, and by looking where
// there is none.
func TestBehindATransactionPooler(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		direct bool
		says   string // the hub, of what it hears
	}{
		{"with a way past it", true, "hears other machines"},
		{"alone", false, "hears no other machines"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			url := dbtest.URL(t)
			env := []string{"DATABASE_URL=" + dbtest.Pooler(t, url, "transaction"), "IMPORTER_WEBHOOK_ALLOW_PRIVATE=true"}
			if c.direct {
				env = append(env, "DIRECT_DATABASE_URL="+url)
			}
			dir := t.TempDir()
			// Both at once, for both want to migrate.
			var a, b *process
			var starting sync.WaitGroup
			starting.Go(func() { b = serveProcess(t, env, "--data-dir", dir) })
			a = serveProcess(t, env, "--data-dir", dir)
			starting.Wait()
			for _, p := range []*process{a, b} {
				eventually(t, "what it hears", func() bool { return strings.Contains(p.log.String(), c.says) })
			}
			checkBehindAPooler(t, url, a, b)

			conn := connectTo(t, url)
			var left int
			if err := conn.QueryRow(t.Context(), "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'").Scan(&left); err != nil || left > 0 {
				t.Errorf("%d locks of sessions are left in the pooler's (%v)", left, err)
			}
		})
	}
}

// checkBehindAPooler does what there is to do on a, and looks on b.
func checkBehindAPooler(t *testing.T, url string, a, b *process) {
	t.Helper()
	r := newReceiver(t)
	all := []string{"*"}
	hook, err := a.client.CreateWebhook(t.Context(), importer.WebhookFields{URL: &r.url, Events: &all}, "")
	if err != nil {
		t.Fatal(err)
	}
	r.secret = hook.Secret
	onB := subscribe(t, "subscriber on B", newFront(t, b), importer.TopicImports, importer.TopicProducts)
	eventually(t, "it follows", func() bool { return onB.seq(importer.TopicImports) >= 0 && onB.seq(importer.TopicProducts) >= 0 })

	// Two imports of the same SKUs at once, one on each machine.
	file, want := writeCatalogue(t, sample.Options{Rows: 20_000, Repeats: 0.05, Bad: 0.01, Seed: 9})
	first, second := upload(t, a, file), upload(t, b, file)
	ended := func(im importer.Import) bool { return im.State.Ended() }
	one, other := watchUntil(t, b, first, ended), watchUntil(t, a, second, ended)
	for _, im := range []importer.Import{one, other} {
		if im.State != importer.Completed || im.Counts.Rows != int64(want.Rows) || im.Counts.Rejected != int64(want.Rejected) || im.Counts.Duplicates != int64(want.Duplicates) {
			t.Errorf("got %s %+v (%+v), want %+v", im.State, im.Counts, im.Error, want)
		}
	}
	if got := one.Counts.Created + other.Counts.Created; got != int64(want.Created) {
		t.Errorf("both have created %d, want %d", got, want.Created)
	}
	checkSecondImport(t, b, file, want)

	sku, name := "POOLED-1", "One"
	made, err := a.client.CreateProduct(t.Context(), importer.ProductFields{SKU: &sku, Name: &name}, "once")
	if err != nil {
		t.Fatal(err)
	}
	if again, err := b.client.CreateProduct(t.Context(), importer.ProductFields{SKU: &sku, Name: &name}, "once"); err != nil || again.ID != made.ID {
		t.Errorf("created again with the same key: %+v, %v", again, err)
	}
	if page, err := b.client.Products(t.Context(), importer.ProductQuery{ProductFilter: importer.ProductFilter{Q: "pooled-1"}}); err != nil || len(page.Items) != 1 {
		t.Errorf("found %+v, %v", page, err)
	}
	if n, err := b.client.DeleteAllProducts(t.Context()); err != nil || n != int64(want.Created)+1 {
		t.Errorf("deleted %d, %v", n, err)
	}
	log := readLog(t, url)
	for _, topic := range []string{importer.TopicImports, importer.TopicProducts} {
		eventually(t, "B has seen everything of "+topic, func() bool { return onB.seq(topic) == int64(len(log[topic])) })
	}
	onB.check(t, log)
	for _, kind := range []string{importer.EventImportCompleted, importer.EventProductCreated, importer.EventProductsDeletedAll} {
		eventually(t, "the delivery of "+kind, func() bool { return r.body(kind) != nil })
	}
}
