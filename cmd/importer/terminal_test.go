package main

import (
	"bytes"
	"errors"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/creack/pty"

	"importer/db/dbtest"
	"importer/internal/sample"
)

// On a terminal the import is a bar that only grows, and ends as a table with
// the figures of the import.
func TestImportOnATerminal(t *testing.T) {
	t.Parallel()
	p := serveProcess(t, []string{"DATABASE_URL=" + dbtest.URL(t)}, "--data-dir", t.TempDir())
	file := t.TempDir() + "/catalogue.csv"
	want, err := writeSample(file, sample.Options{Rows: 30_000, Repeats: 0.05, Bad: 0.01, Seed: 7})
	if err != nil {
		t.Fatal(err)
	}
	shown := onTerminal(t, "import", "--server", p.url, file)

	var percents []float64
	for _, m := range regexp.MustCompile(`catalogue\.csv .* (\d+\.\d) %`).FindAllStringSubmatch(shown, -1) {
		percent, err := strconv.ParseFloat(m[1], 64)
		if err != nil {
			t.Fatal(err)
		}
		percents = append(percents, percent)
	}
	if len(percents) == 0 || !slices.IsSorted(percents) || percents[len(percents)-1] != 100 {
		t.Errorf("the bar showed %v, want something that grows to 100", percents)
	}
	if !strings.Contains(shown, "completed") {
		t.Error("the bar does not say that the import is completed")
	}

	head, row, found := strings.Cut(shown[strings.LastIndex(shown, "file "):], "\n")
	names, values := strings.Fields(head), strings.Fields(row)
	if !found || len(values) < len(names) {
		t.Fatalf("no table at the end:\n%s", tail(shown, 5))
	}
	for name, want := range map[string]int{
		"rows": 30_000, "created": want.Created, "updated": 0, "unchanged": 0, "repeated": want.Duplicates, "rejected": want.Rejected,
	} {
		got := values[slices.Index(names, name)]
		if got != grouped(want) {
			t.Errorf("the table has %s %s, want %s", got, name, grouped(want))
		}
	}
}

// onTerminal runs the program on a terminal of 140 columns and returns what
// it wrote, without the escape sequences.
func onTerminal(t *testing.T, args ...string) string {
	t.Helper()
	cmd := program(nil, args...)
	terminal, err := pty.StartWithSize(cmd, &pty.Winsize{Rows: 40, Cols: 140})
	if err != nil {
		t.Fatal(err)
	}
	defer terminal.Close()
	var out bytes.Buffer
	// EIO is how Linux says that the other end was closed.
	if _, err := io.Copy(&out, terminal); err != nil && !errors.Is(err, syscall.EIO) {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Fatalf("%v\n%s", err, &out)
	}
	text := regexp.MustCompile(`\x1b\[[0-9;?]*[A-Za-z]`).ReplaceAllString(out.String(), "")
	return strings.ReplaceAll(text, "\r", "\n")
}

// grouped is 30,000 for 30000.
func grouped(n int) string {
	s := strconv.Itoa(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
