package db_test

import (
	"context"
	"testing"

	"github.com/jackc/pgx/v5"

	"importer/db/dbtest"
)

func TestMain(m *testing.M) { dbtest.Main(m) }

func TestPing(t *testing.T) {
	t.Parallel()
	if err := dbtest.Open(t).Ping(t.Context()); err != nil {
		t.Errorf("got %v, want an answer", err)
	}
}

// connect opens a connection to look behind the package's back.
func connect(t testing.TB, url string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close(context.Background()) })
	return conn
}
