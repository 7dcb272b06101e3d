// Package disk tells how a directory's disk is doing: how much room it has,
// and whether and how fast it keeps what it is told to keep. Metrics and the
// doctor ask it.
package disk

import (
	"fmt"
	"os"
	"slices"
	"syscall"
	"time"
)

// Space is the room on the disk of a directory, in bytes. Free is what an
// ordinary account may still use, so the two do not add up.
type Space struct{ Free, Total uint64 }

// Room looks at the disk that dir is on.
func Room(dir string) (Space, error) {
	var s syscall.Statfs_t
	if err := syscall.Statfs(dir, &s); err != nil {
		return Space{}, &os.PathError{Op: "statfs", Path: dir, Err: err}
	}
	unit := uint64(max(0, s.Bsize))                                                  // signed on Linux
	return Space{Free: uint64(s.Bavail) * unit, Total: uint64(s.Blocks) * unit}, nil //nolint:unconvert // signed on FreeBSD
}

// tries is how often Sync writes; one alone may meet a busy moment.
const tries = 5

// Sync writes a few small files into dir, has each put on the disk and reads
// it back. It returns the median of the times that took, and leaves nothing.
func Sync(dir string) (time.Duration, error) {
	var took [tries]time.Duration
	for i := range took {
		began := time.Now()
		if err := keep(dir); err != nil {
			return 0, err
		}
		took[i] = time.Since(began)
	}
	slices.Sort(took[:])
	return took[tries/2], nil
}

// keep writes what it reads back.
func keep(dir string) (err error) {
	f, err := os.CreateTemp(dir, ".disk-*")
	if err != nil {
		return err
	}
	defer func() {
		_ = f.Close()
		if gone := os.Remove(f.Name()); err == nil {
			err = gone
		}
	}()
	const written = "kept"
	if _, err := f.WriteString(written); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	read := make([]byte, len(written))
	if _, err := f.ReadAt(read, 0); err != nil {
		return err
	}
	if string(read) != written {
		return fmt.Errorf("%s: what was written does not read back: %q", f.Name(), read)
	}
	return nil
}
