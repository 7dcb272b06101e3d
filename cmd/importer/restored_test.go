package main

import (
	"encoding/json"
	"fmt"
	"os/exec"
	"path/filepath"
	"testing"

	"importer"
	"importer/db"
	"importer/db/dbtest"
	"importer/internal/sample"
)

// copyOf backs a database up and restores it into another, as docs/operations.md
// says, with the tools of Postgres.
func copyOf(t *testing.T, url string) (to string) {
	t.Helper()
	tools := map[string]string{}
	for _, name := range []string{"pg_dump", "pg_restore"} {
		path, err := exec.LookPath(name)
		if err != nil {
			found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/" + name) // Debian's, which are in nobody's PATH
			if len(found) == 0 {
				t.Skip(name + " is not installed")
			}
			path = found[len(found)-1]
		}
		tools[name] = path
	}
	dump := filepath.Join(t.TempDir(), "importer.dump")
	to = dbtest.URL(t)
	run := func(name string, args ...string) {
		t.Helper()
		if out, err := exec.Command(tools[name], args...).CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", name, err, out)
		}
	}
	run("pg_dump", "--format=custom", "--file="+dump, url)
	run("pg_restore", "--clean", "--if-exists", "--no-owner", "--exit-on-error", "--dbname="+to, dump)
	return to
}

// TestRestore goes back to a backup that was taken while an import ran. What
// happened after it never happened: clients that saw it get a new epoch and
// the state anew, and see what the restored server does from there on.
func TestRestore(t *testing.T) {
	t.Parallel()
	url, dir := dbtest.URL(t), t.TempDir()
	before := serveProcess(t, []string{"DATABASE_URL=" + url}, "--data-dir", dir)
	balancer := newFront(t, before)
	follower := subscribe(t, "subscriber", balancer, importer.TopicImports)
	eventually(t, "it follows", func() bool { return follower.seq(importer.TopicImports) >= 0 })
	importSome := func(p *process, n int) {
		t.Helper()
		for i := range n {
			im := post(t, p, "some.csv", fmt.Appendf(nil, "sku,name\nB-%d,One\n", i))
			watchUntil(t, p, im.ID, func(importer.Import) bool { return false })
		}
	}
	importSome(before, 2)
	file, want := writeCatalogue(t, sample.Options{Rows: 60_000, Repeats: 0.05, Bad: 0.001, Seed: 4})
	release := holdUp(t, url, file, 40_000)
	id := upload(t, before, file)
	watchUntil(t, before, id, func(im importer.Import) bool { return im.Progress.RowsDone > 5_000 })
	backup := copyOf(t, url)
	importSome(before, 2) // what the backup does not have
	seen := int64(len(readLog(t, url)[importer.TopicImports]))
	eventually(t, "it has seen all of it", func() bool { return follower.seq(importer.TopicImports) == seen })
	before.kill()
	release()

	code, stdout, stderr := runProgram(t, []string{"DATABASE_URL=" + backup}, "restored", "--json")
	var said db.Restored
	if err := json.Unmarshal([]byte(stdout), &said); err != nil || code != 0 || said.Epoch == "" {
		t.Fatalf("restored: code %d, %q, %q, %v", code, stdout, stderr, err)
	}
	after := serveProcess(t, []string{"DATABASE_URL=" + backup}, "--data-dir", dir)
	checkCounts(t, watchUntil(t, after, id, func(importer.Import) bool { return false }), want)
	for int64(len(readLog(t, backup)[importer.TopicImports])) <= seen {
		importSome(after, 1) // until its numbers are those that the client had seen
	}
	balancer.to(after)
	log := readLog(t, backup)[importer.TopicImports]
	eventually(t, "it has seen what is the case now", func() bool { return follower.seq(importer.TopicImports) == int64(len(log)) })
	follower.mu.Lock()
	last := follower.topics[importer.TopicImports][len(follower.topics[importer.TopicImports])-1]
	follower.mu.Unlock()
	if last.reason != "epoch" || last.from != int64(len(log)) {
		t.Errorf("a client of before goes on with event %d (%s), want a snapshot of event %d because of the epoch", last.from, last.reason, len(log))
	}
	importSome(after, 1)
	eventually(t, "it goes on", func() bool {
		return follower.seq(importer.TopicImports) == int64(len(readLog(t, backup)[importer.TopicImports]))
	})
	checkSecondImport(t, after, file, want)
}
