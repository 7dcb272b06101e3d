package pgserver

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// layout is where things are below the root.
type layout struct{ root, data, run, lock string }

func newLayout(root string) layout {
	return layout{
		root: root,
		data: filepath.Join(root, "data"),
		run:  socketDir(root),
		lock: filepath.Join(root, "lock"),
	}
}

// makeRoot makes what is missing of the root and returns its real path. For a
// root process the account must be able to enter every directory on the way,
// which is checked before anything is made.
func makeRoot(root string, a account) (layout, error) {
	root, err := filepath.Abs(root)
	if err != nil {
		return layout{}, err
	}
	there := root
	var missing []string
	for {
		if _, err := os.Stat(there); err == nil {
			break
		} else if !errors.Is(err, fs.ErrNotExist) {
			return layout{}, fmt.Errorf("data directory: %w", err)
		}
		missing = append([]string{filepath.Base(there)}, missing...)
		there = filepath.Dir(there)
	}
	real, err := filepath.EvalSymlinks(there)
	if err != nil {
		return layout{}, fmt.Errorf("data directory: %w", err)
	}
	if err := a.reach(real); err != nil {
		return layout{}, fmt.Errorf("data directory %s: %w", root, err)
	}
	for _, name := range missing {
		real = filepath.Join(real, name)
		if err := os.Mkdir(real, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
			return layout{}, fmt.Errorf("data directory: %w", err)
		}
		if a.drop { // whatever root's umask is
			if err := os.Chmod(real, 0o755); err != nil {
				return layout{}, fmt.Errorf("data directory: %w", err)
			}
		}
	}
	return newLayout(real), nil
}

// major is the PostgreSQL version the cluster belongs to, 0 when there is none
// yet. Whatever is neither a cluster nor nothing is left alone.
func (l layout) major() (int, error) {
	file := filepath.Join(l.data, "PG_VERSION")
	b, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, l.vacant()
	}
	if errors.Is(err, fs.ErrPermission) {
		return 0, fmt.Errorf("%w: the cluster belongs to another user; run as the owner of %s, or as root", err, l.data)
	}
	if err != nil {
		return 0, err
	}
	major, err := strconv.Atoi(strings.TrimSpace(string(b)))
	if err != nil || major <= 0 {
		return 0, fmt.Errorf("%s holds %q, not a PostgreSQL version", file, b)
	}
	return major, nil
}

// vacant checks that a cluster may be put at data.
func (l layout) vacant() error {
	info, err := os.Lstat(l.data)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if info.IsDir() {
		entries, err := os.ReadDir(l.data)
		if err != nil {
			return err
		}
		if len(entries) == 0 {
			return nil
		}
	}
	return fmt.Errorf("%s exists but is no PostgreSQL cluster (it has no PG_VERSION); move it away or choose another data directory", l.data)
}
