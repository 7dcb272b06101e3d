package main

import (
	"errors"
	"testing"

	"github.com/KimMachineGun/automemlimit/memlimit"

	"importer/db/dbtest"
)

func TestMemoryLimit(t *testing.T) {
	t.Parallel()
	broken := func() (uint64, error) { return 0, errors.New("memory.max: permission denied") }
	none := func() (uint64, error) { return 0, memlimit.ErrNoLimit }
	for name, c := range map[string]struct {
		env    map[string]string
		cgroup memlimit.Provider
		want   int64
		from   string
	}{
		"nothing is known":              {nil, none, 0, ""},
		"the cgroup cannot be read":     {nil, broken, 0, ""},
		"a container":                   {nil, memlimit.Limit(1000), 800, "cgroup"},
		"a cgroup without a real limit": {nil, memlimit.Limit(1<<63 - 4096), 0, ""},
		"a machine of Fly.io":           {map[string]string{"FLY_VM_MEMORY_MB": "1000"}, none, 800 << 20, "FLY_VM_MEMORY_MB"},
		"a machine before its cgroup":   {map[string]string{"FLY_VM_MEMORY_MB": "1000"}, memlimit.Limit(7), 800 << 20, "FLY_VM_MEMORY_MB"},
		"a size that is none":           {map[string]string{"FLY_VM_MEMORY_MB": "a lot"}, memlimit.Limit(1000), 800, "cgroup"},
		"somebody has decided":          {map[string]string{"FLY_VM_MEMORY_MB": "1000", "GOMEMLIMIT": "off"}, memlimit.Limit(1000), 0, ""},
	} {
		got, from := memoryLimit(func(key string) string { return c.env[key] }, c.cgroup)
		if got != c.want || from != c.from {
			t.Errorf("%s: got %d from %q, want %d from %q", name, got, from, c.want, c.from)
		}
	}
}

// What a server on a machine of Fly.io says of itself.
func TestServeLimitsItsMemory(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		env  []string
		want float64
	}{
		{[]string{"GOMEMLIMIT=", "FLY_VM_MEMORY_MB=1000"}, 800 << 20},
		{[]string{"GOMEMLIMIT=700MiB", "FLY_VM_MEMORY_MB=1000"}, 700 << 20},
	} {
		p := serveProcess(t, append(c.env, "DATABASE_URL="+dbtest.URL(t)), "--data-dir", t.TempDir(), "--metrics-addr", "127.0.0.1:0")
		if got := p.scrape().value("go_gc_gomemlimit_bytes"); got != c.want {
			t.Errorf("%v: got a limit of %.0f bytes, want %.0f", c.env, got, c.want)
		}
	}
}
