package csvfile_test

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"importer"
)

const casesDir = "../../testdata/csv-cases"

// wanted is one case of expected.json, as far as a reader can know it.
type wanted struct {
	File     string
	Existing []struct{ SKU string }
	FileErr  *importer.Code `json:"file_error"`
	Names    []string       `json:"file_error_names"`
	Encoding *string
	Delim    *string `json:"delimiter"`
	Counts   importer.Counts
	Rejects  []struct {
		Line   int64
		Reason string
	}
	Products []struct {
		SKU, Name   string
		Description json.RawMessage
	}
	ProductsCount int    `json:"products_count"`
	Digest        string `json:"products_sha256"`
}

func TestCases(t *testing.T) {
	t.Parallel()
	for _, w := range loadCases(t, casesDir) {
		t.Run(w.File, func(t *testing.T) {
			t.Parallel()
			text, err := os.ReadFile(filepath.Join(casesDir, w.File))
			if err != nil {
				t.Fatal(err)
			}
			checkCase(t, w, readAllWays(t, string(text), nil, 0))
		})
	}
}

func loadCases(t *testing.T, dir string) []wanted {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(dir, "expected.json"))
	if err != nil {
		t.Fatal(err)
	}
	var all struct{ Cases []wanted }
	if err := json.Unmarshal(b, &all); err != nil {
		t.Fatal(err)
	}
	if len(all.Cases) == 0 {
		t.Fatal("no cases")
	}
	return all.Cases
}

func checkCase(t *testing.T, w wanted, got file) {
	t.Helper()
	checkFileError(t, w, got)
	if want := deref(w.Encoding); got.Head.Encoding != want {
		t.Errorf("got encoding %q, want %q", got.Head.Encoding, want)
	}
	if want := deref(w.Delim); got.Head.Delimiter != want {
		t.Errorf("got delimiter %q, want %q", got.Head.Delimiter, want)
	}
	var lines, wantLines []string
	for _, r := range got.Rejects {
		lines = append(lines, fmt.Sprint(r.Line, " ", r.Reason))
	}
	for _, r := range w.Rejects {
		wantLines = append(wantLines, fmt.Sprint(r.Line, " ", r.Reason))
	}
	if diff := cmp.Diff(wantLines, lines); diff != "" {
		t.Errorf("rejects (-want +got):\n%s", diff)
	}
	last := map[string]importer.Row{}
	for _, r := range got.Rows {
		last[r.Key] = r
	}
	duplicates := len(got.Rows) - len(last)
	counts := []int{len(got.Rows) + len(got.Rejects), duplicates, len(got.Rejects)}
	wantCounts := []int{int(w.Counts.Rows), int(w.Counts.Duplicates), int(w.Counts.Rejected)}
	if diff := cmp.Diff(wantCounts, counts); diff != "" {
		t.Errorf("rows, duplicates, rejected (-want +got):\n%s", diff)
	}
	checkProducts(t, w, got.Head, last)
}

// checkFileError leaves aside that no row is valid: the reader's caller finds
// that out.
func checkFileError(t *testing.T, w wanted, got file) {
	t.Helper()
	var want importer.Code
	if w.FileErr != nil && *w.FileErr != importer.NoValidRows {
		want = *w.FileErr
	}
	if got.Err != want {
		t.Errorf("got file error %q (%s), want %q", got.Err, got.Message, want)
	}
	for _, name := range w.Names {
		if !strings.Contains(got.Message, name) {
			t.Errorf("got message %q, want it to name %q", got.Message, name)
		}
	}
}

// checkProducts compares the rows that won with the catalogue afterwards,
// except what only the catalogue can know: products that were there and
// descriptions that the file does not have.
func checkProducts(t *testing.T, w wanted, head importer.Head, last map[string]importer.Row) {
	t.Helper()
	if w.Digest != "" {
		if len(last) != w.ProductsCount {
			t.Errorf("got %d products, want %d", len(last), w.ProductsCount)
		}
		if got := digest(last); got != w.Digest {
			t.Errorf("got digest %s, want %s", got, w.Digest)
		}
		return
	}
	existing := map[string]bool{}
	for _, p := range w.Existing {
		existing[importer.SKUKey(p.SKU)] = true
	}
	for _, p := range w.Products {
		row, ok := last[importer.SKUKey(p.SKU)]
		if !ok {
			if !existing[importer.SKUKey(p.SKU)] {
				t.Errorf("no row for SKU %q", p.SKU)
			}
			continue
		}
		delete(last, row.Key)
		if row.SKU != p.SKU || row.Name != p.Name {
			t.Errorf("got %q %q, want %q %q", row.SKU, row.Name, p.SKU, p.Name)
		}
		if head.HasDescription() && !sameText(t, row.Description, p.Description) {
			t.Errorf("SKU %q: got description %.80q, want %s", row.SKU, row.Description, p.Description)
		}
	}
	for _, row := range last {
		t.Errorf("surplus row for SKU %q", row.SKU)
	}
}

// sameText compares with a string, or with the size and hash of a long one.
func sameText(t *testing.T, got string, want json.RawMessage) bool {
	t.Helper()
	var text string
	if json.Unmarshal(want, &text) == nil {
		return got == text
	}
	var long struct {
		Bytes  int
		SHA256 string
	}
	if err := json.Unmarshal(want, &long); err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256([]byte(got))
	return len(got) == long.Bytes && hex.EncodeToString(sum[:]) == long.SHA256
}

// digest follows products_digest_rule of expected.json.
func digest(rows map[string]importer.Row) string {
	var lines []string
	for _, r := range rows {
		lines = append(lines, r.SKU+"\x1f"+r.Name+"\x1f"+r.Description+"\x1ftrue\x1e")
	}
	slices.Sort(lines)
	sum := sha256.Sum256([]byte(strings.Join(lines, "")))
	return hex.EncodeToString(sum[:])
}

func deref(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}
