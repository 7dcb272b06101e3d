package pgserver

import (
	"bytes"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
)

// setParentDeathSignal has the kernel signal the child when the thread that
// started it ends.
func setParentDeathSignal(attr *syscall.SysProcAttr, sig syscall.Signal) { attr.Pdeathsig = sig }

// serversIn lists the PostgreSQL processes at work in a data directory: the
// postmaster and all its children have it as their working directory. Zombies
// have none. Another user's processes do not show, but cannot be ours.
func serversIn(data string) ([]int, error) {
	want, err := os.Stat(data)
	if err != nil {
		return nil, err
	}
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, err
	}
	var pids []int
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		process := filepath.Join("/proc", e.Name())
		name, err := os.ReadFile(filepath.Join(process, "comm"))
		if err != nil || !bytes.Contains(name, []byte("postgres")) {
			continue
		}
		if dir, err := os.Stat(filepath.Join(process, "cwd")); err == nil && os.SameFile(dir, want) {
			pids = append(pids, pid)
		}
	}
	return pids, nil
}
