package main

import (
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"importer/db/dbtest"
)

// docs/api.md promises that it can be pasted. So it is, block after block into
// one shell, and every curl has to get the status that the block announces: a
// list behind ```sh, or 2xx.
func TestPageForIntegratorsCanBePasted(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../../docs/api.md")
	if err != nil {
		t.Fatal(err)
	}
	blocks := regexp.MustCompile("(?ms)^```sh([ 0-9]*)\n(.*?)^```$").FindAllStringSubmatch(string(page), -1)
	if len(blocks) < 15 {
		t.Fatalf("got %d blocks, want the whole page", len(blocks))
	}
	p := serveProcess(t, []string{"DATABASE_URL=" + dbtest.URL(t)}, "--data-dir", t.TempDir())

	// The page's own -w and -o come later and win. Statuses go to a file, for
	// the page looks at the output.
	var script strings.Builder
	script.WriteString("set -euo pipefail\ncurl() { command curl -w '%{stderr}status %{http_code}\\n' \"$@\"; }\n")
	for i, block := range blocks {
		fmt.Fprintf(&script, "echo 'block %d' >&2\n%s", i, block[2])
	}
	shell := exec.CommandContext(t.Context(), "bash", "-c", script.String())
	shell.Dir = t.TempDir()
	shell.Env = append(os.Environ(), "SERVER="+p.url)
	var told, printed lockedBuffer
	shell.Stdout, shell.Stderr = &printed, &told
	if err := shell.Run(); err != nil {
		t.Fatalf("%v\n%s\n%s", err, tail(told.String(), 10), tail(printed.String(), 10))
	}

	statuses := make([][]string, len(blocks))
	at := -1
	for line := range strings.Lines(told.String()) {
		line = strings.TrimSpace(line)
		if status, ok := strings.CutPrefix(line, "status "); ok {
			statuses[at] = append(statuses[at], status)
		} else if strings.HasPrefix(line, "block ") {
			at++
		}
	}
	for i, block := range blocks {
		if want := strings.Fields(block[1]); len(want) > 0 {
			if d := cmp.Diff(want, statuses[i]); d != "" {
				t.Errorf("statuses of (-want +got):\n%s\n%s", block[2], d)
			}
			continue
		}
		for _, status := range statuses[i] {
			if status[0] != '2' {
				t.Errorf("got status %s in\n%s", status, block[2])
			}
		}
	}
	for _, want := range []string{`"rows":4`, `"duplicates":1,"rejected":1`, `"sku":"LMP-3"`, `"pointer":"/name"`, `"pointer":"colour"`, `{"deleted":4}`} {
		if !strings.Contains(printed.String(), want) {
			t.Errorf("the page's commands did not print %s:\n%s", want, printed.String())
		}
	}
}
