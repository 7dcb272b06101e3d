package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"importer"
	"importer/internal/disk"
)

// Below these a disk is worth a warning.
const (
	slowDisk   = 100 * time.Millisecond // to keep a small file
	littleRoom = 10                     // per cent
	noRoom     = 100 << 20              // bytes
)

// fewFiles is too low a limit for a few thousand live pages.
const fewFiles = 4096

const answerTime = 3 * time.Second // for a server on this machine

func checkSettings(_ context.Context, p *patient) (all []finding) {
	err := p.validateServe()
	if err == nil {
		return []finding{ok("all values are allowed")}
	}
	for line := range strings.SplitSeq(err.Error(), "\n") {
		all = append(all, fail("serve refuses to start like this; importer serve --help lists the settings", "%s", line))
	}
	return all
}

// checkAddress finds out who listens where serve would.
func checkAddress(ctx context.Context, p *patient) []finding {
	if _, _, err := net.SplitHostPort(p.addr); err != nil {
		return nil // settings has said so
	}
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", p.addr)
	if err == nil {
		l.Close()
		return []finding{ok("%s is free", p.addr)}
	}
	if !errors.Is(err, syscall.EADDRINUSE) {
		return []finding{fail("choose another address with --addr", "%v", err)}
	}
	who, missing, err := askReady(ctx, "http://"+p.addr)
	switch {
	case err != nil:
		return []finding{fail("stop it, or choose another port with --addr", "%s is in use by another program (%v)", p.addr, err)}
	case len(missing) > 0:
		return []finding{warn("look at what is missing", "importer %s serves %s, but is not ready: %s", who, p.addr, strings.Join(missing, " "))}
	}
	return []finding{ok("importer %s serves %s and is ready", who, p.addr)}
}

// askReady asks a server who it is and what it lacks. It fails when that is not
// one of ours.
func askReady(ctx context.Context, url string) (version string, missing []string, err error) {
	ctx, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	var alive struct{ Version string }
	var ready struct{ Missing []string }
	for path, answer := range map[string]any{"/healthz": &alive, "/readyz": &ready} {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, url+path, nil)
		if err != nil {
			return "", nil, err
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			return "", nil, errors.New("it does not answer HTTP")
		}
		defer resp.Body.Close()
		if err := json.NewDecoder(io.LimitReader(resp.Body, 64<<10)).Decode(answer); err != nil {
			return "", nil, errors.New("it does not answer as importer does")
		}
	}
	if alive.Version == "" {
		return "", nil, errors.New("it does not answer as importer does")
	}
	return alive.Version, ready.Missing, nil
}

// checkDataDir looks at the directory, or at the one it would be made in.
func checkDataDir(_ context.Context, p *patient) (all []finding) {
	if p.keepsNothing() {
		return []finding{ok("nothing is kept on this machine")}
	}
	dir, state := p.dataDir, "is there"
	for {
		info, err := os.Stat(dir)
		if err == nil && !info.IsDir() {
			return []finding{fail("choose a directory with --data-dir", "%s is no directory", dir)}
		}
		if err == nil {
			break
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return []finding{fail("let this account enter it, or choose another one with --data-dir", "%v", err)}
		}
		dir, state = filepath.Dir(dir), "will be made"
	}
	took, err := disk.Sync(dir)
	if err != nil {
		return []finding{fail("let this account write there, make room, or choose another one with --data-dir", "%s cannot be written to: %v", dir, err)}
	}
	room, err := disk.Room(dir)
	if err != nil {
		return []finding{fail("choose a directory on a local disk with --data-dir", "%s: %v", dir, err)}
	}
	largest := uint64(max(0, p.maxUpload))
	left := fmt.Sprintf("%s free of %s", size(room.Free), size(room.Total))
	switch {
	case room.Free < noRoom:
		all = append(all, fail("make room, or choose a directory on a larger disk with --data-dir", "%s has %s", dir, left))
	case room.Free < largest:
		all = append(all, warn("make room, or lower --max-upload-bytes", "%s has %s, less than the largest file taken (%s)", dir, left, size(largest)))
	case room.Free < room.Total/100*littleRoom:
		all = append(all, warn("make room before uploads are refused", "%s has %s", dir, left))
	default:
		all = append(all, ok("%s %s; %s", p.dataDir, state, left))
	}
	if took > slowDisk {
		all = append(all, warn("use a local disk: uploads wait for it", "%s takes %v to keep a small file", dir, took.Round(time.Millisecond)))
	} else {
		all = append(all, ok("a small file is kept in %v", took.Round(10*time.Microsecond)))
	}
	return all
}

// checkUploads tries the bucket, if there is one.
func checkUploads(ctx context.Context, p *patient) []finding {
	if p.bucket == "" {
		return []finding{ok("they lie in the data directory, for this machine alone")}
	}
	files, err := p.openBucket()
	if err != nil {
		return nil // settings has said so
	}
	defer files.Close()
	began := time.Now()
	err = files.Writable(ctx)
	if e, known := errors.AsType[*importer.Error](err); known {
		return []finding{fail("look at the settings under \"object storage\" in importer serve --help", "%s (%s)", e.Message, reason(e))}
	} else if err != nil {
		return []finding{fail("look at the settings under \"object storage\" in importer serve --help", "%v", err)}
	}
	return []finding{ok("the bucket %s takes, lists, gives and deletes an object in %v, for any machine", p.bucket, time.Since(began).Round(time.Millisecond))}
}

// checkWebhooks warns of what is for development where it can be reached.
func checkWebhooks(_ context.Context, p *patient) []finding {
	if !p.webhookAllowPrivate {
		return []finding{ok("they are sent over https to public addresses only")}
	}
	if p.databaseURL == "" && isLoopback(p.addr) {
		return []finding{ok("for development they are also sent to private addresses and over plain http")}
	}
	return []finding{warn("leave IMPORTER_WEBHOOK_ALLOW_PRIVATE off in production: whoever may set up a webhook can reach what only this machine can", "they are also sent to private addresses and over plain http")}
}

// checkFiles looks at the limit that the Go runtime has raised as far as it may.
func checkFiles(context.Context, *patient) []finding {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return []finding{warn("look at ulimit -n", "the limit is not known: %v", err)}
	}
	if limit.Cur < fewFiles {
		return []finding{warn("raise it to 65536, with ulimit -n or LimitNOFILE= of systemd: each live page takes one", "only %d files and connections may be open", limit.Cur)}
	}
	return []finding{ok("%d files and connections may be open", limit.Cur)}
}

// size is a number of bytes for people.
func size(n uint64) string {
	for _, unit := range []struct {
		name string
		of   uint64
	}{{"TB", 1e12}, {"GB", 1e9}, {"MB", 1e6}} {
		if n >= unit.of {
			return fmt.Sprintf("%.1f %s", float64(n)/float64(unit.of), unit.name)
		}
	}
	return fmt.Sprintf("%d kB", n/1000)
}
