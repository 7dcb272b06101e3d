// Package pgserver runs a private PostgreSQL for the life of this process: it
// finds the binaries, makes a cluster on the first start, launches the server,
// starts it again when it dies, and stops it.
//
// cmd/importer calls it when no DATABASE_URL is given, the database tests call
// it for a throw-away cluster. It never downloads anything, never opens a TCP
// port, never sends SIGKILL to a server, and never deletes or upgrades data: of
// what it finds on disk it removes only its own unfinished initdb-* directories
// and stale pid and socket files.
//
// What Options.Root holds:
//
//	lock       locked while an instance runs, and names its process
//	data/      the cluster
//	run/       the socket and the access files, written anew at each launch
//	initdb-*/  a cluster in the making, renamed to data/ once it is complete
//
// The life of a cluster:
//
//	Start → lock → initdb (first start only) → launch → ready
//	                                             ↑        │ server died
//	                                             └─ back off ─→ dead (after 5 in a row)
//	Stop  → SIGINT (30 s) → SIGQUIT (10 s) → unlock
//
// It needs flock, peer authentication and process groups: Linux, macOS, BSD.
package pgserver

import (
	"context"
	"fmt"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"
)

// appName is both the role the application connects as and its database.
const appName = "importer"

// Options say where the cluster lives and which PostgreSQL runs it.
type Options struct {
	// Root is the directory for everything the cluster needs; Start makes it.
	Root string
	// BinDir names the binaries to use, without any fallback. Empty: Discover.
	BinDir string
	// ToolsDirs are searched for npm's @embedded-postgres/<platform>.
	ToolsDirs []string
	// Throwaway trades durability for speed: for tests only.
	Throwaway bool
	Log       zerolog.Logger
}

// Cluster is a running private PostgreSQL. Its methods may be called from any
// goroutine.
type Cluster struct {
	log       zerolog.Logger
	layout    layout
	account   account
	binary    Binary
	throwaway bool
	created   bool
	lock      *os.File

	pid     atomic.Int64
	dead    chan error
	cancel  context.CancelFunc // ends supervision and begins the shutdown
	hurry   chan struct{}      // closed to make the shutdown immediate
	hurried sync.Once
	done    chan struct{} // closed when supervision has ended
	stopErr error         // why the shutdown was not clean; set before done
}

// Start returns once the server accepts connections. After a crash that takes
// as long as recovery does; ctx bounds the wait, not the life of the cluster.
// It fails with a *LockedError when another process uses o.Root.
func Start(ctx context.Context, o Options) (_ *Cluster, err error) {
	began := time.Now()
	account, err := chooseAccount(o.Root)
	if err != nil {
		return nil, err
	}
	layout, err := makeRoot(o.Root, account)
	if err != nil {
		return nil, err
	}
	lock, err := takeLock(layout)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			release(lock)
		}
	}()

	major, err := layout.major()
	if err != nil {
		return nil, err
	}
	binaries, err := discover(o, account, major)
	if err != nil {
		return nil, err
	}
	if major != 0 {
		if err := account.owns(layout.data); err != nil {
			return nil, err
		}
	}
	c := &Cluster{
		log: o.Log, layout: layout, account: account, binary: binaries[0], throwaway: o.Throwaway, lock: lock,
		dead: make(chan error, 1), hurry: make(chan struct{}), done: make(chan struct{}),
	}
	if major == 0 {
		if err := c.create(ctx); err != nil {
			return nil, fmt.Errorf("create a PostgreSQL %d cluster in %s: %w", c.binary.Major, layout.root, err)
		}
		c.created = true
	}
	s, err := c.launch(ctx)
	if err != nil {
		return nil, fmt.Errorf("start PostgreSQL %s on %s: %w", c.binary.Version, layout.data, err)
	}
	running, cancel := context.WithCancel(context.WithoutCancel(ctx))
	c.cancel = cancel
	go c.supervise(running, s)
	c.log.Info().Str("version", c.binary.Version).Str("dir", layout.data).Int("pid", s.pid).Bool("created", c.created).
		Dur("took", time.Since(began)).Msg("private PostgreSQL is ready")
	return c, nil
}

// DSN is the libpq key/value string for the application's role and database.
func (c *Cluster) DSN() string { return c.DSNFor(appName) }

// DSNFor is DSN for another database.
func (c *Cluster) DSNFor(database string) string { return dsn(c.layout.run, database) }

// Dead yields one error when the server kept dying and is not started again.
func (c *Cluster) Dead() <-chan error { return c.dead }

// PID is the process id of the postmaster, 0 while there is none.
func (c *Cluster) PID() int { return int(c.pid.Load()) }

// Created says whether this Start made the cluster.
func (c *Cluster) Created() bool { return c.created }

// Stop disconnects all clients and waits for a clean shutdown. When ctx ends,
// or after 30 s, the shutdown becomes immediate and Stop returns an error; that
// loses nothing, but the next start has to recover. Each call waits.
func (c *Cluster) Stop(ctx context.Context) error {
	c.cancel()
	select {
	case <-c.done:
	case <-ctx.Done():
		c.hurried.Do(func() { close(c.hurry) })
		<-c.done // bounded by immediateLimit
	}
	return c.stopErr
}

// quoteDSN quotes a value for libpq's key/value form.
func quoteDSN(s string) string {
	return "'" + strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(s) + "'"
}
