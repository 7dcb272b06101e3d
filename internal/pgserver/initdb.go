package pgserver

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"syscall"
)

// create makes the cluster with the application's role and database. All of it
// happens in a directory that is renamed into place at the end, so that a
// killed first start leaves no half-made cluster.
func (c *Cluster) create(ctx context.Context) error {
	c.removeUnfinished(ctx)
	c.log.Info().Str("version", c.binary.Version).Str("dir", c.layout.data).
		Msg("first start: making a private PostgreSQL cluster, which takes a few seconds")
	unfinished, err := os.MkdirTemp(c.layout.root, "initdb-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(unfinished) // nothing has this name after the rename
	if err := c.account.own(unfinished); err != nil {
		return err
	}
	if err := c.runInitdb(ctx, unfinished); err != nil {
		return fmt.Errorf("initdb: %w", err)
	}
	if err := c.makeDatabase(ctx, unfinished); err != nil {
		return fmt.Errorf("make the database: %w", err)
	}
	// Removes an empty directory at most, see layout.vacant.
	if err := os.Remove(c.layout.data); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := os.Rename(unfinished, c.layout.data); err != nil {
		return err
	}
	return syncDir(c.layout.root)
}

var unfinishedName = regexp.MustCompile(`^initdb-[0-9]+$`)

// removeUnfinished clears what killed first starts left. Failing that is no
// reason not to start.
func (c *Cluster) removeUnfinished(ctx context.Context) {
	entries, err := os.ReadDir(c.layout.root)
	if err != nil {
		c.log.Warn().Err(err).Msg("cannot look for unfinished clusters")
	}
	for _, e := range entries {
		if !e.IsDir() || !unfinishedName.MatchString(e.Name()) {
			continue
		}
		dir := filepath.Join(c.layout.root, e.Name())
		if err := errors.Join(c.stopLeftovers(ctx, dir), os.RemoveAll(dir)); err != nil {
			c.log.Warn().Err(err).Msg("cannot remove an unfinished cluster")
			continue
		}
		c.log.Info().Str("dir", dir).Msg("removed an unfinished cluster")
	}
}

func (c *Cluster) runInitdb(ctx context.Context, dir string) error {
	args := []string{
		"-D", dir, "-U", "postgres", "--encoding=UTF8", "--auth-local=peer", "--auth-host=scram-sha-256", "--no-instructions",
	}
	return c.runOnce(ctx, "", "initdb", append(args, c.initdbChoices()...)...)
}

// initdbChoices depend on the version. Text sorts by its bytes and letters are
// Unicode's, without ICU and whatever locales the machine has.
func (c *Cluster) initdbChoices() []string {
	var args []string
	switch {
	case c.binary.Major >= 17:
		args = []string{"--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"}
	case runtime.GOOS == "darwin": // has no C.UTF-8
		args = []string{"--locale=C", "--lc-ctype=UTF-8"}
	default:
		args = []string{"--locale=C.UTF-8"}
	}
	switch {
	case !c.throwaway:
		args = append(args, "--data-checksums")
	case c.binary.Major >= 18: // where checksums became the default
		args = append(args, "--no-sync", "--no-data-checksums")
	default:
		args = append(args, "--no-sync")
	}
	return args
}

// makeDatabase runs SQL in the single-user mode, which needs neither a driver
// nor a listening server. Owning a database is enough to create the extensions
// PostgreSQL calls trusted; CREATEDB lets tests clone theirs from a template.
func (c *Cluster) makeDatabase(ctx context.Context, dir string) error {
	args := []string{"--single", "-D", dir, "-c", "exit_on_error=on"}
	if c.throwaway {
		args = append(args, "-F") // no fsync
	}
	sql := "CREATE ROLE " + appName + " LOGIN CREATEDB;\n" + "CREATE DATABASE " + appName + " OWNER " + appName + ";\n"
	return c.runOnce(ctx, sql, "postgres", append(args, "postgres")...)
}

// runOnce runs a program on an unfinished cluster. That may be killed outright,
// children included: by ctx, or by the kernel when this process dies.
func (c *Cluster) runOnce(ctx context.Context, stdin, name string, args ...string) error {
	runtime.LockOSThread() // the parent-death signal belongs to the thread
	defer runtime.UnlockOSThread()
	cmd := command(ctx, c.account, c.layout.root, filepath.Join(c.binary.Dir, name), args...)
	cmd.Stdin = strings.NewReader(stdin)
	setParentDeathSignal(cmd.SysProcAttr, syscall.SIGKILL)
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	out, err := cmd.CombinedOutput()
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil {
		return complaint(err, string(out))
	}
	return nil
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
