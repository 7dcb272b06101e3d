package main

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"importer"
	"importer/db/dbtest"
)

func TestCommandLine(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		args []string
		env  []string
		code int
		says string
	}{
		{args: []string{"--help"}, says: ""},
		{args: []string{"nonsense"}, code: exitUsage, says: `no command "nonsense"`},
		{args: []string{"serve", "--nonsense"}, code: exitUsage, says: "nonsense"},
		{args: []string{"serve", "extra"}, code: exitUsage, says: "no arguments"},
		{args: []string{"serve", "--addr", "0.0.0.0:80"}, code: exitUsage, says: "this machine only"},
		{args: []string{"serve", "--addr", "nowhere"}, code: exitUsage, says: "HOST:PORT"},
		{args: []string{"serve", "--private-pg", "never"}, code: exitUsage, says: "set DATABASE_URL"},
		{args: []string{"serve"}, env: []string{"IMPORTER_LOG_LEVEL=loud", "IMPORTER_MAX_UPLOAD_BYTES=0"}, code: exitUsage, says: "want more than 0"},
		{args: []string{"serve"}, env: []string{"IMPORTER_LOG_LEVEL=loud", "IMPORTER_MAX_UPLOAD_BYTES=0"}, code: exitUsage, says: `log level is "loud"`},
		{args: []string{"import"}, code: exitUsage, says: "at least one CSV file"},
		{args: []string{"import", "--server", "nowhere", "x.csv"}, code: exitUsage, says: "http://127.0.0.1:8080"},
		{args: []string{"import", "missing.csv"}, code: exitFailed, says: "missing.csv"},
		{args: []string{"import", "--server", "http://127.0.0.1:1", os.DevNull}, code: exitFailed, says: "is not a file"},
		{args: []string{"sample", "--dups", "2"}, code: exitUsage, says: "from 0 to 1"},
	} {
		code, _, stderr := runProgram(t, c.env, c.args...)
		if code != c.code || !strings.Contains(stderr, c.says) {
			t.Errorf("importer %s: exit code %d and %q, want %d and %q", strings.Join(c.args, " "), code, stderr, c.code, c.says)
		}
	}
}

func TestImportCommand(t *testing.T) {
	t.Parallel()
	p := serveProcess(t, []string{"DATABASE_URL=" + dbtest.URL(t)}, "--data-dir", t.TempDir())
	file := func(name, content string) string {
		path := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
		return path
	}
	good := file("good.csv", "sku,name\nA-1,One\nA-2,Two\n")
	some := file("some.csv", "sku,name\nA-1,One\n,No SKU\n")
	bad := file("bad.csv", "colour,size\nred,1\n")
	odd := file("odd.csv", "Item No,What\nB-1,One\n")

	for _, c := range []struct {
		args []string
		code int
		says string
	}{
		{[]string{"--dry-run", good}, 0, ""},
		{[]string{good}, 0, ""},
		{[]string{some}, 0, ""},
		{[]string{"--strict", some}, exitRejects, "1 rows were rejected"},
		{[]string{bad}, exitFailed, "colour"},
		{[]string{odd}, exitFailed, "Item No"},
		{[]string{"--map", "sku=Item No", "--map", "name=What", odd}, 0, ""},
		{[]string{good, bad}, exitFailed, "bad.csv"},
	} {
		code, stdout, stderr := runProgram(t, nil, append([]string{"import", "--server", p.url}, c.args...)...)
		if code != c.code || !strings.Contains(stderr, c.says) {
			t.Errorf("import %v: exit code %d, %q, want %d, %q", c.args, code, stderr, c.code, c.says)
		}
		last := tail(stdout, 1)
		var im importer.Import
		if err := json.Unmarshal([]byte(last), &im); err != nil || !im.State.Ended() {
			t.Errorf("import %v: the last line %q is not an import that has ended (%v)", c.args, last, err)
		}
	}
	list, err := p.client.Imports(t.Context(), importer.ImportPage{Limit: 100})
	if err != nil {
		t.Fatal(err)
	}
	if dry := list.Items[len(list.Items)-1]; !dry.DryRun || dry.State != importer.Completed || dry.Counts != (importer.Counts{Rows: 2}) {
		t.Errorf("the dry run: %+v", dry)
	}
	if second := list.Items[len(list.Items)-2]; second.Counts.Created != 2 {
		t.Errorf("after a dry run the import created %d products, want 2", second.Counts.Created)
	}
}

func TestSampleCommand(t *testing.T) {
	t.Parallel()
	code, stdout, _ := runProgram(t, nil, "sample", "--rows", "3", "--seed", "5")
	if lines := strings.Split(stdout, "\n"); code != 0 || lines[0] != "name,sku,description" {
		t.Errorf("exit code %d, first line %q", code, lines[0])
	}
	name := filepath.Join(t.TempDir(), "out.csv")
	code, _, stderr := runProgram(t, nil, "sample", "--rows", "3", "--seed", "5", name)
	b, err := os.ReadFile(name)
	if code != 0 || err != nil || string(b) != stdout || !strings.Contains(stderr, "3 rows") {
		t.Errorf("exit code %d, %v, %q: want in the file what went to standard output", code, err, stderr)
	}
	code, stdout, _ = runProgram(t, nil, "sample", "--rows", "30", "--bad", "0.1", "--json", name)
	var counts map[string]int
	if err := json.Unmarshal([]byte(stdout), &counts); err != nil || code != 0 || counts["rows"] != 30 || counts["created"]+counts["duplicates"]+counts["rejected"] != 30 {
		t.Errorf("exit code %d, %q (%v), want the counts of 30 rows", code, stdout, err)
	}
}

func gzipped(t *testing.T, b []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	z := gzip.NewWriter(&out)
	if _, err := z.Write(b); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}
