package pgserver

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// LockedError says that another process runs a cluster in Dir.
type LockedError struct {
	Dir string
	PID int // 0 when the holder has not said
}

func (e *LockedError) Error() string {
	holder := "another process"
	if e.PID != 0 {
		holder = fmt.Sprintf("process %d", e.PID)
	}
	return fmt.Sprintf("data directory %s is held by %s; stop it, or choose another data directory or set DATABASE_URL", e.Dir, holder)
}

// takeLock locks the root for this process. The kernel drops a flock when its
// holder ends, however it ends, and close-on-exec keeps it from the server.
func takeLock(l layout) (*os.File, error) {
	f, err := os.OpenFile(l.lock, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, fmt.Errorf("lock the data directory: %w", err)
	}
	err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		defer f.Close()
		return nil, &LockedError{Dir: l.root, PID: holder(f)}
	}
	if err == nil {
		err = errors.Join(f.Truncate(0), writePID(f))
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("lock %s: %w", l.lock, err)
	}
	return f, nil
}

// release empties the file first, so that the pid of an earlier holder is not
// taken for that of the next.
func release(lock *os.File) {
	_ = lock.Truncate(0) // the lock is what counts: a stale pid only misinforms
	lock.Close()
}

func writePID(f *os.File) error {
	_, err := f.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0)
	return err
}

// holder reads the pid. Whoever took the lock writes it a moment later.
func holder(f *os.File) int {
	for range 20 {
		b := make([]byte, 20)
		n, _ := f.ReadAt(b, 0)
		if pid, err := strconv.Atoi(strings.TrimSpace(string(b[:n]))); err == nil {
			return pid
		}
		time.Sleep(5 * time.Millisecond)
	}
	return 0
}
