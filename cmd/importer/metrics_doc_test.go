package main

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the lists in docs that are made of what the program says anew")

// golden holds what the program says against a file in docs.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("..", "..", "docs", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("docs/%s is not what the program says; go test ./cmd/importer -run %s -update writes it anew\n%s", name, t.Name(), diff)
	}
}

// goldenPart does so for what is between <!-- part --> and <!-- /part -->.
func goldenPart(t *testing.T, name, part, got string) {
	t.Helper()
	whole, err := os.ReadFile(filepath.Join("..", "..", "docs", name))
	if err != nil {
		t.Fatal(err)
	}
	before, rest, begins := strings.Cut(string(whole), "<!-- "+part+" -->\n")
	_, after, ends := strings.Cut(rest, "<!-- /"+part+" -->\n")
	if !begins || !ends {
		t.Fatalf("docs/%s has no part %q", name, part)
	}
	golden(t, name, before+"<!-- "+part+" -->\n"+got+"<!-- /"+part+" -->\n"+after)
}

// runtimeMetrics are those of Go and of the process that the list names; there
// are more, and they depend on the platform.
var runtimeMetrics = []string{"go_goroutines", "go_memstats_heap_inuse_bytes", "process_cpu_seconds_total", "process_open_fds", "process_resident_memory_bytes"}

// list is docs/metrics.md.
func (s scrape) list() string {
	var out strings.Builder
	out.WriteString("# Metrics\n\nWhat `/metrics` on the private port says, made from a scrape. Those of Go and of the process are more than the few named here. " +
		"[Operations](operations.md#metrics) has the address, the dashboard and the alerts.\n\n| | type | labels | |\n|---|---|---|---|\n")
	for _, name := range slices.Sorted(maps.Keys(s)) {
		if !strings.HasPrefix(name, "importer_") && !slices.Contains(runtimeMetrics, name) {
			continue
		}
		var labels []string
		for _, m := range s[name].GetMetric() {
			for _, l := range m.GetLabel() {
				if l := "`" + l.GetName() + "`"; !slices.Contains(labels, l) {
					labels = append(labels, l)
				}
			}
		}
		slices.Sort(labels)
		fmt.Fprintf(&out, "| `%s` | %s | %s | %s |\n", name, strings.ToLower(s[name].GetType().String()), strings.Join(labels, ", "), s[name].GetHelp())
	}
	return out.String()
}
