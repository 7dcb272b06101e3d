package pgserver

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"
	"time"
)

// How long a shutdown may take. A fast one writes a checkpoint; in an immediate
// one the postmaster itself kills its children after 5 s.
const (
	fastLimit      = 30 * time.Second
	immediateLimit = 10 * time.Second
)

// server is one run of the postmaster.
type server struct {
	pid     int
	process *os.Process
	log     *serverLog
	exited  chan struct{} // closed when it has ended and its log is read
	err     error         // how it ended; set before exited is closed
}

// launch starts the server on a data directory that nothing else works on, and
// returns when it accepts connections.
func (c *Cluster) launch(ctx context.Context) (*server, error) {
	if err := c.stopLeftovers(ctx, c.layout.data); err != nil {
		return nil, err
	}
	if err := c.makeRunDir(); err != nil {
		return nil, fmt.Errorf("prepare the socket directory: %w", err)
	}
	// Not bound to ctx: the end of a start-up must not kill the server.
	cmd := command(context.Background(), c.account, c.layout.root, filepath.Join(c.binary.Dir, "postgres"), c.arguments()...)
	// SIGINT is a fast shutdown: the server goes when this process is killed.
	setParentDeathSignal(cmd.SysProcAttr, syscall.SIGINT)
	began := time.Now()
	s, err := c.spawn(cmd)
	if err != nil {
		return nil, err
	}
	if err := c.awaitReady(ctx, s, began); err != nil {
		return nil, err
	}
	s.log.ready.Store(true)
	c.pid.Store(int64(s.pid))
	return s, nil
}

// spawn starts the process on a thread of its own. The kernel sends the
// parent-death signal when the creating thread ends, so that thread is kept.
func (c *Cluster) spawn(cmd *exec.Cmd) (*server, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	cmd.Stdout, cmd.Stderr = w, w // files: Wait does not wait for a backend that still holds them
	s := &server{log: newServerLog(c.log, r), exited: make(chan struct{})}
	started := make(chan error)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		w.Close()
		if err == nil {
			s.process, s.pid = cmd.Process, cmd.Process.Pid
		}
		started <- err
		if err == nil {
			s.err = cmd.Wait()
		}
		s.log.finish()
		close(s.exited)
	}()
	if err := <-started; err != nil {
		<-s.exited
		return nil, err
	}
	return s, nil
}

// awaitReady waits without a limit of its own: recovery after a crash takes as
// long as it takes, and a server that cannot start says so and exits.
func (c *Cluster) awaitReady(ctx context.Context, s *server, began time.Time) error {
	poll := time.NewTicker(10 * time.Millisecond)
	defer poll.Stop()
	remind := time.NewTicker(10 * time.Second)
	defer remind.Stop()
	for {
		select {
		case <-s.exited:
			return fmt.Errorf("postgres ended while starting: %w", s.cause())
		case <-ctx.Done():
			return errors.Join(ctx.Err(), s.shutdown(c.hurry))
		case <-remind.C:
			c.log.Info().Dur("for", time.Since(began)).Msg("PostgreSQL is still starting, maybe recovering from a crash")
		case <-poll.C:
			// After a restart of a container the file of the earlier run may
			// well name the same pid: its time tells them apart.
			f := readPIDFile(c.layout.data)
			if f.pid == s.pid && f.started >= began.Unix() && f.status == "ready" {
				return nil
			}
		}
	}
}

// cause says why the server ended: what killed it, else its own last words.
func (s *server) cause() error {
	if s.err == nil {
		return errors.New("it was shut down")
	}
	var exit *exec.ExitError
	killed := errors.As(s.err, &exit) && exit.ExitCode() < 0
	if words := s.log.lastWords(); words != "" && !killed {
		return errors.New(words)
	}
	return s.err
}

// shutdown asks, then insists; SIGKILL would leave shared memory and backends
// behind. Closing hurry skips to insisting.
func (s *server) shutdown(hurry <-chan struct{}) error {
	s.log.ending.Store(true)
	s.process.Signal(syscall.SIGINT) // fails only if it has ended
	reason := "did not stop in " + fastLimit.String()
	select {
	case <-s.exited:
		return nil
	case <-hurry:
		reason = "was given no more time"
	case <-time.After(fastLimit):
	}
	s.process.Signal(syscall.SIGQUIT)
	select {
	case <-s.exited:
		return fmt.Errorf("PostgreSQL %s and was shut down immediately; its next start recovers", reason)
	case <-time.After(immediateLimit):
		return fmt.Errorf("PostgreSQL (process %d) does not stop", s.pid)
	}
}
