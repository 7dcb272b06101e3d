package db_test

import (
	"testing"

	"importer/db/dbtest"
)

func TestMain(m *testing.M) { dbtest.Main(m) }

func TestPing(t *testing.T) {
	t.Parallel()
	if err := dbtest.Open(t).Ping(t.Context()); err != nil {
		t.Errorf("got %v, want an answer", err)
	}
}
