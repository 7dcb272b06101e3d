//go:build !linux

package pgserver

import (
	"errors"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// setParentDeathSignal does nothing: only Linux has the signal. A server whose
// parent was killed runs on, and the next start stops it.
func setParentDeathSignal(*syscall.SysProcAttr, syscall.Signal) {}

// serversIn lists the PostgreSQL processes at work in a data directory: the
// postmaster and all its children have it as their working directory.
func serversIn(data string) ([]int, error) {
	data, err := filepath.EvalSymlinks(data)
	if err != nil {
		return nil, err
	}
	lsof, err := exec.LookPath("lsof")
	if err != nil {
		lsof = "/usr/sbin/lsof"
	}
	// -w: no warnings, -c: command begins with, -d cwd: working directories
	// only, -Fn: one field per line.
	out, err := exec.Command(lsof, "-w", "-a", "-c", "postgres", "-d", "cwd", "-Fn").Output()
	if errors.As(err, new(*exec.ExitError)) {
		err = nil // lsof fails when it finds nothing
	}
	if err != nil {
		return nil, err
	}
	var pids []int
	pid := 0
	for line := range strings.Lines(string(out)) {
		line = strings.TrimSpace(line)
		if after, ok := strings.CutPrefix(line, "p"); ok {
			pid, _ = strconv.Atoi(after)
		}
		if dir, ok := strings.CutPrefix(line, "n"); ok && dir == data && pid != 0 {
			pids = append(pids, pid)
		}
	}
	return pids, nil
}
