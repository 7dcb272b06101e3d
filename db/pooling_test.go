package db_test

import (
	"testing"
	"time"

	"importer/db"
	"importer/db/dbtest"
)

func TestPooling(t *testing.T) {
	t.Parallel()
	target := dbtest.URL(t)
	for _, c := range []struct {
		name, url, direct string
		pooled, straight  db.Pooling
		heard             bool
	}{
		{"no pooler", target, "", db.NoPooling, db.NoPooling, true},
		{"session pooler", dbtest.Pooler(t, target, "session"), "", db.SessionPooling, db.SessionPooling, true},
		{"transaction pooler alone", dbtest.Pooler(t, target, "transaction"), "", db.TransactionPooling, db.TransactionPooling, false},
		{"transaction pooler and a way past it", dbtest.Pooler(t, target, "transaction"), target, db.TransactionPooling, db.NoPooling, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			d, err := db.Open(db.Options{URL: c.url, Direct: c.direct})
			if err != nil {
				t.Fatal(err)
			}
			defer d.Close()
			pooled, direct, err := d.Pooling(t.Context())
			if err != nil || pooled != c.pooled || direct != c.straight {
				t.Errorf("got %q and %q (%v), want %q and %q", pooled, direct, err, c.pooled, c.straight)
			}
			if c.heard {
				if err := d.Heard(t.Context()); err != nil {
					t.Errorf("a hint was not heard: %v", err)
				}
			}
		})
	}
}

func TestExamine(t *testing.T) {
	t.Parallel()
	d := dbtest.Open(t)
	e, err := d.Examine(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if e.Major < 14 || e.Encoding != "UTF8" || e.ReadOnly || !e.MayCreate || !e.MayAlter || e.Connections == 0 || e.MaxConnections == 0 || e.Pool != 16 {
		t.Errorf("of a database of ours: %+v", e)
	}
	if e.Durable {
		t.Error("the tests' server does not sync, but is said to be durable")
	}
	if e.RoundTrip <= 0 || e.Skew.Abs() > time.Second+e.RoundTrip { // it is this machine's clock
		t.Errorf("clock ahead by %v, round trip %v", e.Skew, e.RoundTrip)
	}
}
