package actors_test

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/rs/zerolog"

	"importer"
	"importer/actors"
	"importer/internal/csvfile"
)

// bundle is a System on a memory store and spool.
type bundle struct {
	t      testing.TB
	store  *memory
	spool  *memorySpool
	system *actors.System
	node   uuid.UUID
}

// setup starts a System that is shut down with the test. change may alter the
// options and the store's hooks before it starts.
func setup(t testing.TB, change func(*bundle, *actors.Options)) *bundle {
	t.Helper()
	b := &bundle{t: t, store: newMemory(), spool: newMemorySpool(), node: uuid.New()}
	b.start(change)
	return b
}

// second starts another System on the same store and spool.
func (b *bundle) second(change func(*bundle, *actors.Options)) *bundle {
	b.t.Helper()
	other := &bundle{t: b.t, store: b.store, spool: b.spool, node: uuid.New()}
	other.start(change)
	return other
}

func (b *bundle) start(change func(*bundle, *actors.Options)) {
	b.t.Helper()
	o := actors.Options{
		Store: b.store, Events: b.store, Spool: b.spool, Node: b.node, Writers: 2,
		OpenRows: csvfile.Open, OnCommit: b.store.OnCommit,
		Log: zerolog.Nop(),
	}
	if change != nil {
		change(b, &o)
	}
	var err error
	if b.system, err = actors.Start(o); err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { b.shutdown() })
}

func (b *bundle) shutdown() {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	if err := b.system.Shutdown(ctx); err != nil {
		b.t.Errorf("shutdown: %v", err)
	}
}

// begin creates an import as httpd does.
func (b *bundle) begin(n importer.NewImport) importer.Claim {
	b.t.Helper()
	claim, err := b.store.CreateImport(b.t.Context(), n, b.node)
	if err != nil {
		b.t.Fatal(err)
	}
	if err := b.spool.Create(b.t.Context(), claim.ID); err != nil {
		b.t.Fatal(err)
	}
	b.system.Begin(claim)
	return claim
}

func (b *bundle) append(id uuid.UUID, text string) {
	b.t.Helper()
	if _, err := b.spool.Append(b.t.Context(), id, 0, strings.NewReader(text)); err != nil {
		b.t.Fatal(err)
	}
	size, _ := b.spool.Size(b.t.Context(), id)
	b.system.Received(id, size)
}

// finish ends the upload.
func (b *bundle) finish(id uuid.UUID) {
	b.t.Helper()
	if err := b.spool.Seal(b.t.Context(), id); err != nil {
		b.t.Fatal(err)
	}
	size, _ := b.spool.Size(b.t.Context(), id)
	if _, err := b.store.Uploaded(b.t.Context(), id, size); err != nil {
		b.t.Fatal(err)
	}
	b.system.Wake(id)
}

// upload takes a whole file to the queue.
func (b *bundle) upload(n importer.NewImport, text string) uuid.UUID {
	b.t.Helper()
	n.Size = int64(len(text))
	id := b.begin(n).ID
	b.append(id, text)
	b.finish(id)
	return id
}

// await polls until the import's state is one of those.
func (b *bundle) await(id uuid.UUID, states ...importer.State) importer.Import {
	b.t.Helper()
	var imp importer.Import
	until(b.t, fmt.Sprintf("import to be %v", states), func() bool {
		b.store.mu.Lock()
		defer b.store.mu.Unlock()
		imp = b.store.imports[id].Import
		for _, s := range states {
			if imp.State == s {
				return true
			}
		}
		if imp.State.Ended() {
			b.t.Fatalf("import is %s (%+v), want %v", imp.State, imp.Error, states)
		}
		return false
	})
	return imp
}

// until polls a condition. What is awaited takes milliseconds; the deadline
// is for a machine that is busy.
func until(t testing.TB, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(3 * time.Minute)
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain for %s", what)
		}
		<-tick.C
	}
}

// file makes a product file of n rows over `distinct` SKUs, the case of which
// alternates. want is what the catalogue must hold for its last rows.
func file(n, distinct int) (text string, want map[string]string) {
	var b strings.Builder
	want = map[string]string{}
	b.WriteString("sku,name,description\n")
	for i := range n {
		// A stride that is coprime to most sizes: keys in no order.
		k := i * 7919 % distinct
		prefix := "SKU-"
		if i%2 == 0 {
			prefix = "sku-"
		}
		b.WriteString(prefix + strconv.Itoa(k) + ",name " + strconv.Itoa(i) + ",text of row " + strconv.Itoa(i) + "\n")
		want["sku-"+strconv.Itoa(k)] = "name " + strconv.Itoa(i)
	}
	return b.String(), want
}

// checkCatalogue compares names by key, and that no batch was written twice.
func (b *bundle) checkCatalogue(want map[string]string) {
	b.t.Helper()
	b.store.mu.Lock()
	defer b.store.mu.Unlock()
	if got := len(b.store.catalogue); got != len(want) {
		b.t.Errorf("got %d products, want %d", got, len(want))
	}
	wrong := 0
	for key, name := range want {
		if got := b.store.catalogue[key].Name; got != name {
			if wrong++; wrong < 5 {
				b.t.Errorf("%s: got %q, want %q", key, got, name)
			}
		}
	}
	for batch, n := range b.store.merges {
		if n != 1 {
			b.t.Errorf("batch %s was committed %d times, want once", batch, n)
		}
	}
}

func batchName(id uuid.UUID, number int) string { return id.String() + "/" + strconv.Itoa(number) }
