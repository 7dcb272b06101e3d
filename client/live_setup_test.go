package client_test

import (
	"context"
	"errors"
	"net/http/httptest"
	"os"
	"time"

	"github.com/google/uuid"
	"github.com/rs/zerolog"

	"importer/actors"
	"importer/db"
	"importer/httpd"
	"importer/internal/csvfile"
	"importer/internal/spool"
)

// live is the real server on a real socket and a real Postgres, in this
// process so that its heartbeat can be set.
type live struct {
	url    string
	db     *db.DB
	node   uuid.UUID
	system *actors.System
	server *httpd.Server
	http   *httptest.Server
	dir    string
}

func startLive(databaseURL string, socket httpd.SocketOptions) (*live, error) {
	dir, err := os.MkdirTemp("", "importer-client-test-")
	if err != nil {
		return nil, err
	}
	l := &live{dir: dir, node: uuid.Must(uuid.NewV7())}
	if l.db, err = db.Open(db.Options{URL: databaseURL, MaxConns: 8, Log: zerolog.Nop()}); err != nil {
		return nil, err
	}
	if err := l.db.Migrate(context.Background()); err != nil {
		return nil, err
	}
	files, err := spool.Open(dir)
	if err != nil {
		return nil, err
	}
	l.system, err = actors.Start(actors.Options{
		Store: l.db, Events: l.db, Spool: files, OpenRows: csvfile.Open, OnCommit: l.db.OnCommit, Node: l.node, Log: zerolog.Nop(),
	})
	if err != nil {
		return nil, err
	}
	l.server, err = httpd.New(httpd.Options{
		Imports: l.db, Products: l.db, Events: l.db, Status: l.db, Webhooks: l.db, Access: l.db, Importer: l.system, WebhookSender: l.system, Hub: l.system, Spool: files, Node: l.node,
		MaxUpload: 1 << 20, Socket: socket, Version: "test", Log: zerolog.Nop(),
	})
	if err != nil {
		return nil, err
	}
	l.http = httptest.NewServer(l.server.Handler())
	l.url = l.http.URL
	return l, nil
}

func (l *live) stop() error {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	err := errors.Join(l.system.Shutdown(ctx), l.server.Shutdown(ctx))
	l.http.CloseClientConnections()
	l.http.Close()
	return errors.Join(err, l.db.Close(), os.RemoveAll(l.dir))
}
