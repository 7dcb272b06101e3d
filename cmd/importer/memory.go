package main

import (
	"runtime/debug"
	"strconv"

	"github.com/KimMachineGun/automemlimit/memlimit"
	"github.com/rs/zerolog"
)

// limitMemory makes Go collect its garbage before the platform ends the
// process for it. The limit is a soft one; what somebody has set stands.
func limitMemory(getenv func(string) string, log zerolog.Logger) {
	limit, from := memoryLimit(getenv, memlimit.FromCgroup)
	if limit == 0 {
		return
	}
	debug.SetMemoryLimit(limit)
	log.Info().Int64("bytes", limit).Str("from", from).Msg("memory limit set")
}

// memoryLimit is 80 % of the memory that this process may use, in bytes, and
// who says so; 0 when nobody does, or when GOMEMLIMIT says something else. The
// rest is for the stacks, the kernel's buffers and a private Postgres.
func memoryLimit(getenv func(string) string, cgroup memlimit.Provider) (limit int64, from string) {
	if getenv("GOMEMLIMIT") != "" {
		return 0, ""
	}
	// Fly.io's machines are whole virtual machines, mostly without a limit of
	// their cgroup; the variable has their size in MiB.
	if mb, err := strconv.ParseUint(getenv("FLY_VM_MEMORY_MB"), 10, 32); err == nil && mb > 0 {
		return int64(mb<<20) / 5 * 4, "FLY_VM_MEMORY_MB"
	}
	// No cgroup, none with a limit, or one that cannot be read: no limit is
	// what Go has by itself.
	bytes, err := cgroup()
	if err != nil || bytes == 0 || bytes >= 1<<60 {
		return 0, ""
	}
	return int64(bytes/5) * 4, "cgroup"
}
