package pgserver

import (
	"fmt"
	"path/filepath"
	"syscall"
)

// Found is what there is of a private PostgreSQL, without touching it.
type Found struct {
	Binary Binary // that runs the cluster, or would
	Major  int    // of the cluster; 0: there is none yet
	DSN    string // of the running server for the application, as Cluster.DSN; "": it does not run
}

// Find looks at o.Root. It fails for the reasons why Start would, as far as
// they can be seen from outside.
func Find(o Options) (Found, error) {
	a, err := chooseAccount(o.Root)
	if err != nil {
		return Found{}, err
	}
	root, err := filepath.Abs(o.Root)
	if err != nil {
		return Found{}, err
	}
	if real, err := filepath.EvalSymlinks(root); err == nil {
		root = real
	}
	l := newLayout(root)
	major, err := l.major()
	if err != nil {
		return Found{}, err
	}
	binaries, err := discover(o, a, major)
	if err != nil {
		return Found{}, err
	}
	f := Found{Binary: binaries[0], Major: major}
	if major == 0 {
		return f, nil
	}
	if err := a.owns(l.data); err != nil {
		return f, err
	}
	if file := readPIDFile(l.data); file.status == "ready" && syscall.Kill(file.pid, 0) == nil {
		f.DSN = dsn(l.run, appName)
	}
	return f, nil
}

// dsn is the libpq key/value string for the application's role. It overrides
// what PGOPTIONS and PGTARGETSESSIONATTRS in this process's environment would
// add.
func dsn(socketDir, database string) string {
	return fmt.Sprintf("host=%s port=%s user=%s dbname=%s sslmode=disable options='' target_session_attrs=any",
		quoteDSN(socketDir), socketPort, appName, quoteDSN(database))
}
