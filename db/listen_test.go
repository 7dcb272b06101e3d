package db_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/rs/zerolog"

	"importer"
	"importer/db"
	"importer/db/dbtest"
)

// hearing starts to listen and waits until it hears.
func hearing(t *testing.T, d *db.DB) (hints <-chan struct{}, stop func(), ended <-chan error) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	up, heard, over := make(chan struct{}), make(chan struct{}, 100), make(chan error, 1)
	go func() {
		over <- d.Listen(ctx, func() { close(up) }, func() { heard <- struct{}{} })
	}()
	select {
	case <-up:
	case err := <-over:
		t.Fatalf("listen: %v", err)
	}
	return heard, cancel, over
}

func TestHintIsHeardOnOtherMachines(t *testing.T) {
	t.Parallel()
	url := dbtest.URL(t)
	a, b := dbtest.OpenURL(t, url), dbtest.OpenURL(t, url)
	hints, stop, ended := hearing(t, b)
	created(t, a) // says nothing by itself: that would be in its transaction
	for range 3 {
		if err := a.Hint(t.Context()); err != nil {
			t.Fatal(err)
		}
		<-hints
	}
	stop()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want %v", err, context.Canceled)
	}
	if len(hints) != 0 {
		t.Errorf("heard %d hints more than were given", len(hints))
	}
}

// Through a transaction pooler LISTEN succeeds, and nothing is ever heard; on
// another database it is not those hints that are.
func TestListenWhereNothingCanBeHeard(t *testing.T) {
	t.Parallel()
	target := dbtest.URL(t)
	for name, direct := range map[string]string{
		"transaction pooler": dbtest.Pooler(t, target, "transaction"),
		"another database":   dbtest.URL(t),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d, err := db.Open(db.Options{URL: target, Direct: direct, Log: zerolog.Nop()})
			if err != nil {
				t.Fatal(err)
			}
			defer d.Close()
			err = d.Listen(t.Context(), func() { t.Error("it says that it hears") }, func() {})
			if importer.ErrorCode(err) != importer.Unavailable || !strings.Contains(err.Error(), "DIRECT_DATABASE_URL") {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestListenEndsWithItsConnection(t *testing.T) {
	t.Parallel()
	url := dbtest.URL(t)
	d, conn := dbtest.OpenURL(t, url), connect(t, url)
	_, _, ended := hearing(t, d)
	mustExec(t, conn, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'LISTEN%'")
	if err := <-ended; importer.ErrorCode(err) != importer.Unavailable {
		t.Errorf("got %v, want %v", err, importer.Unavailable)
	}
	hints, _, _ := hearing(t, d) // again
	if err := d.Hint(t.Context()); err != nil {
		t.Fatal(err)
	}
	<-hints
}

// Listening goes past the pooler.
func TestListenUsesTheDirectURL(t *testing.T) {
	t.Parallel()
	url := dbtest.URL(t)
	for _, c := range []struct {
		direct string
		want   importer.Code
	}{
		{"postgres://importer:secret@127.0.0.1:1/importer?sslmode=disable", importer.Unavailable},
		{"postgres://importer:secret@[/importer", importer.Invalid},
	} {
		d, err := db.Open(db.Options{URL: url, Direct: c.direct, Log: zerolog.Nop()})
		if err != nil {
			t.Fatal(err)
		}
		defer d.Close()
		if err := d.Ping(t.Context()); err != nil {
			t.Errorf("the pool: %v", err)
		}
		err = d.Listen(t.Context(), func() { t.Error("hears") }, func() {})
		if importer.ErrorCode(err) != c.want {
			t.Errorf("%s: got %v, want %v", c.direct, err, c.want)
		}
	}
}
