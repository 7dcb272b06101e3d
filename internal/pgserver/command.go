package pgserver

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
)

// command prepares a child that runs as the account, in a directory that the
// account can enter.
func command(ctx context.Context, a account, dir, program string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Dir, cmd.Env, cmd.SysProcAttr = dir, environment(), a.attributes()
	return cmd
}

// environment is this process's without what would change a cluster behind our
// back: an empty PGPORT alone breaks initdb. LC_ALL has the last word on the
// locale; TZ spares initdb the search through the zone files for the local one.
func environment() []string {
	env := slices.DeleteFunc(os.Environ(), func(kv string) bool { return strings.HasPrefix(kv, "PG") })
	return append(env, "LC_ALL=C", "TZ=UTC")
}

// complaint picks from a program's output why it failed: PostgreSQL's error
// lines, else the last line.
func complaint(err error, output string) error {
	var errs []string
	last := ""
	for line := range strings.Lines(output) {
		line = strings.TrimSpace(line)
		if line == "" {
			continue
		}
		last = line
		for _, mark := range []string{"error: ", "ERROR:  ", "FATAL:  ", "PANIC:  "} {
			if _, text, ok := strings.Cut(line, mark); ok {
				errs = append(errs, text)
			}
		}
	}
	if len(errs) > 0 {
		last = strings.Join(slices.Compact(errs), "; ")
	}
	if last == "" {
		return err
	}
	if errors.As(err, new(*exec.ExitError)) {
		return errors.New(last) // "exit status 1" adds nothing
	}
	return fmt.Errorf("%w: %s", err, last)
}
