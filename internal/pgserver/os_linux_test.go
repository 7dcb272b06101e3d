package pgserver_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
)

// On Linux the server does not wait for the next start to end.
func TestServerGoesWithItsProcess(t *testing.T) {
	t.Parallel()
	for name, uid := range users(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			root := openDir(t, uid)
			h := startHelper(t, uid, root)
			h.kill()
			eventually(t, "the server removes its pid file", func() bool {
				_, err := os.Stat(filepath.Join(root, "data", "postmaster.pid"))
				return errors.Is(err, os.ErrNotExist)
			})
		})
	}
}
