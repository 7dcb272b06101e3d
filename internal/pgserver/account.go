package pgserver

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// account is the OS user the server runs as. PostgreSQL refuses root.
type account struct {
	uid, gid uint32
	name     string
	drop     bool // this process is root and changes to the account for its children
}

// chooseAccount takes this process's own user. Root becomes the owner of an
// existing cluster, else postgres, else nobody.
func chooseAccount(root string) (account, error) {
	if root == "" {
		return account{}, errors.New("no directory given for the private PostgreSQL")
	}
	if uid := os.Geteuid(); uid != 0 {
		name, err := accountName(uid)
		return account{uid: uint32(uid), gid: uint32(os.Getegid()), name: name}, err
	}
	data := newLayout(root).data
	switch info, err := os.Stat(data); {
	case err == nil && owner(info) != 0:
		st := info.Sys().(*syscall.Stat_t)
		name, err := accountName(int(st.Uid))
		if err != nil {
			name = "uid " + strconv.Itoa(int(st.Uid)) // enough for a cluster that exists
		}
		return account{uid: st.Uid, gid: st.Gid, name: name, drop: true}, nil
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return account{}, err
	}
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, errUID := strconv.ParseUint(u.Uid, 10, 32)
		gid, errGID := strconv.ParseUint(u.Gid, 10, 32)
		if errUID == nil && errGID == nil {
			return account{uid: uint32(uid), gid: uint32(gid), name: name, drop: true}, nil
		}
	}
	return account{}, errors.New("PostgreSQL refuses to run as root, and there is no account postgres or nobody to run it as: " +
		"add one (useradd --system postgres), run as another user, or set DATABASE_URL")
}

// accountName asks the user database. A static binary knows only /etc/passwd
// and not LDAP, so id(1) has the last word. PostgreSQL needs the name to make a
// cluster and to authenticate by peer.
func accountName(uid int) (string, error) {
	if u, err := user.LookupId(strconv.Itoa(uid)); err == nil {
		return u.Username, nil
	}
	out, err := exec.CommandContext(context.Background(), "id", "-un", strconv.Itoa(uid)).Output()
	name := strings.TrimSpace(string(out))
	if err != nil || name == "" {
		return "", fmt.Errorf("uid %d has no account on this machine (no line in /etc/passwd), which PostgreSQL needs: "+
			"run as another user or set DATABASE_URL", uid)
	}
	return name, nil
}

// attributes put a child in a process group of its own, away from Ctrl-C at the
// terminal: imports drain first, then we stop the server.
func (a account) attributes() *syscall.SysProcAttr {
	attr := &syscall.SysProcAttr{Setpgid: true}
	if a.drop {
		attr.Credential = &syscall.Credential{Uid: a.uid, Gid: a.gid}
	}
	return attr
}

// own gives a path to the account.
func (a account) own(path string) error {
	if !a.drop {
		return nil
	}
	return os.Lchown(path, int(a.uid), int(a.gid))
}

// owns checks that a cluster is the account's, as PostgreSQL insists.
func (a account) owns(dir string) error {
	info, err := os.Stat(dir)
	if err != nil {
		return err
	}
	if uid := owner(info); uid != a.uid {
		return fmt.Errorf("%s belongs to uid %d, but PostgreSQL would run as %s: give it back with chown -R %s %s", dir, uid, a.name, a.name, dir)
	}
	return nil
}

// reach checks that the account can enter dir, and names the first parent that
// bars it: 0700 on /root is the classic.
func (a account) reach(dir string) error {
	if !a.drop {
		return nil // this process has entered it itself
	}
	if a.enter(dir) == nil {
		return nil
	}
	for _, parent := range parents(dir) {
		err := a.enter(parent)
		if errors.Is(err, syscall.EACCES) {
			return fmt.Errorf("%s is closed to %s, the account that runs PostgreSQL for root: "+
				"use a directory elsewhere (such as /var/lib/importer), or allow it with chmod o+x %s", parent, a.name, parent)
		}
		if err != nil {
			return fmt.Errorf("run a program as %s: %w", a.name, err)
		}
	}
	return nil
}

// enter lets the kernel decide: mode bits alone would misjudge ACLs.
func (a account) enter(dir string) error {
	cmd := exec.CommandContext(context.Background(), "/bin/sh", "-c", ":")
	cmd.Dir, cmd.Env, cmd.SysProcAttr = dir, []string{}, a.attributes()
	return cmd.Run()
}

// parents lists the directories from / down to dir.
func parents(dir string) []string {
	if up := filepath.Dir(dir); up != dir {
		return append(parents(up), dir)
	}
	return []string{dir}
}

func owner(info fs.FileInfo) uint32 { return info.Sys().(*syscall.Stat_t).Uid }
