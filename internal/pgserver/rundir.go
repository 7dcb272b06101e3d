package pgserver

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// socketPort only names the socket file: there is no TCP.
const socketPort = "5432"

// maxSocketDir leaves room for "/.s.PGSQL.5432.lock" in a socket address of 107
// bytes (Linux) or 103 (macOS).
const maxSocketDir = 80

// socketDir is <root>/run, or a short name in /tmp for a path that does not fit
// or that holds what separates and quotes the paths in a list of them. The name depends on the root only,
// not on TMPDIR, which differs from shell to shell.
func socketDir(root string) string {
	dir := filepath.Join(root, "run")
	if len(dir) <= maxSocketDir && !strings.ContainsAny(dir, `,"`) {
		return dir
	}
	return shortSocketDir(root)
}

func shortSocketDir(root string) string {
	sum := sha256.Sum256([]byte(root))
	return fmt.Sprintf("/tmp/importer-%x", sum[:8])
}

// makeRunDir prepares the socket directory for a launch. The caller has made
// sure that no server runs, so a socket in it is a leftover: PostgreSQL would
// trip over its lock file if the pid in it had gone to another process.
func (c *Cluster) makeRunDir() error {
	dir := c.layout.run
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	info, err := os.Lstat(dir)
	if err != nil {
		return err
	}
	// In /tmp, which everybody shares, somebody else may have come first.
	uid := owner(info)
	foreign := uid != c.account.uid && uid != uint32(os.Geteuid()) && dir == shortSocketDir(c.layout.root)
	if !info.IsDir() || foreign {
		return fmt.Errorf("%s is in the way: it is not a directory of %s's; remove it", dir, c.account.name)
	}
	if err := errors.Join(c.account.own(dir), os.Chmod(dir, 0o700)); err != nil {
		return err
	}
	for _, name := range []string{".s.PGSQL." + socketPort, ".s.PGSQL." + socketPort + ".lock"} {
		if err := os.Remove(filepath.Join(dir, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	if err := replaceFile(c.hbaFile(), "local all all peer map=importer\n"); err != nil {
		return err
	}
	return replaceFile(c.identFile(), c.identMap())
}

func (c *Cluster) hbaFile() string   { return filepath.Join(c.layout.run, "pg_hba.conf") }
func (c *Cluster) identFile() string { return filepath.Join(c.layout.run, "pg_ident.conf") }

// identMap lets this process's OS user connect as the application, and as the
// superuser for an administrator's psql. Root could read the files anyway.
func (c *Cluster) identMap() string {
	names := []string{"root"}
	if !c.account.drop {
		names = append(names, c.account.name)
	}
	var b strings.Builder
	for _, name := range names {
		for _, role := range []string{appName, "postgres"} {
			fmt.Fprintf(&b, "importer %q %q\n", name, role)
		}
	}
	return b.String()
}

// replaceFile never follows a link: the directory belongs to the server's
// account, this process may be root. The server needs to read the file only.
func replaceFile(path, content string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	_, err = f.WriteString(content)
	return errors.Join(err, f.Chmod(0o644), f.Close()) // whatever the umask is
}
