package pgserver

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// stopLeftovers makes sure that no server works in dir, a data directory. We
// hold the lock, so one that does was left by a process that was killed: a
// postmaster that missed or outlives the signal for that, or the backends of a
// postmaster that was killed itself.
func (c *Cluster) stopLeftovers(ctx context.Context, dir string) error {
	file := readPIDFile(dir)
	if file.pid == 0 {
		return nil // a server keeps its pid file until the last backend has gone
	}
	left, err := serversIn(dir)
	if err != nil {
		return fmt.Errorf("look for servers in %s: %w", dir, err)
	}
	for _, insist := range []struct {
		signal syscall.Signal
		limit  time.Duration
	}{{syscall.SIGINT, fastLimit}, {syscall.SIGQUIT, immediateLimit}} {
		if len(left) == 0 {
			break
		}
		if slices.Contains(left, file.pid) {
			left = []int{file.pid} // it sees to its backends
		}
		c.log.Warn().Ints("pids", left).Str("dir", dir).Msg("stopping a PostgreSQL left by a process that was killed")
		for _, pid := range left {
			syscall.Kill(pid, insist.signal) // it may be gone by now
		}
		if left, err = awaitNone(ctx, dir, insist.limit); err != nil {
			return err
		}
	}
	if len(left) > 0 {
		return fmt.Errorf("PostgreSQL processes %v in %s, left by a process that was killed, do not stop", left, dir)
	}
	// PostgreSQL sees through a stale file, unless its pid has gone to another
	// process (common in containers) or to a zombie. Only then help out.
	if file = readPIDFile(dir); file.pid != 0 && syscall.Kill(file.pid, 0) == nil {
		c.log.Info().Int("pid", file.pid).Str("dir", dir).Msg("removing a stale pid file")
		return os.Remove(pidFilePath(dir))
	}
	return nil
}

// awaitNone returns who is still there after the limit.
func awaitNone(ctx context.Context, dir string, limit time.Duration) ([]int, error) {
	deadline := time.Now().Add(limit)
	for {
		left, err := serversIn(dir)
		if err != nil || len(left) == 0 || time.Now().After(deadline) {
			return left, err
		}
		if !pause(ctx, 20*time.Millisecond) {
			return left, ctx.Err()
		}
	}
}

// pidFile is what postmaster.pid says; zero when there is none.
type pidFile struct {
	pid     int
	started int64  // Unix seconds
	status  string // "starting", "ready", "stopping"
}

func pidFilePath(data string) string { return filepath.Join(data, "postmaster.pid") }

// readPIDFile reads a file that may be half written. Its lines are defined in
// PostgreSQL's src/include/utils/pidfile.h.
func readPIDFile(data string) (f pidFile) {
	b, err := os.ReadFile(pidFilePath(data))
	if err != nil {
		return f
	}
	for i, line := range strings.Split(string(b), "\n") {
		line = strings.TrimSpace(line)
		switch i {
		case 0:
			f.pid, _ = strconv.Atoi(strings.TrimPrefix(line, "-")) // negative in the single-user mode
		case 2:
			f.started, _ = strconv.ParseInt(line, 10, 64)
		case 7:
			f.status = line
		}
	}
	return f
}
