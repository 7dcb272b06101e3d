package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

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
