package main

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
	"github.com/jackc/pgx/v5"

	"importer"
	"importer/client"
	"importer/db/dbtest"
)

// csvCase is one entry of testdata/csv-cases/expected.json.
type csvCase struct {
	File      string
	Existing  []caseProduct
	Status    importer.State
	FileError *importer.Code `json:"file_error"`
	Names     []string       `json:"file_error_names"` // words the message must hold
	Encoding  *string
	Delimiter *string
	Counts    importer.Counts
	Rejects   []struct {
		Line   int64
		Reason string
	}
	Products []caseProduct // nil: compare the digest
	Count    int           `json:"products_count"`
	SHA256   string        `json:"products_sha256"`
}

type caseProduct struct {
	SKU, Name   string
	Description caseText
	Active      bool
}

// caseText is a text, or its size and digest where it is long.
type caseText string

func (c *caseText) UnmarshalJSON(b []byte) error {
	var long struct {
		Bytes  int
		SHA256 string
	}
	if json.Unmarshal(b, &long) == nil {
		*c = caseText(fmt.Sprintf("%d bytes, sha256 %s", long.Bytes, long.SHA256))
		return nil
	}
	return json.Unmarshal(b, (*string)(c))
}

// Every file of the collection goes in through the door and is compared with
// what must be in the catalogue, the counts and the list of rejected rows.
func TestCSVCases(t *testing.T) {
	t.Parallel()
	const dir = "../../testdata/csv-cases"
	b, err := os.ReadFile(filepath.Join(dir, "expected.json"))
	if err != nil {
		t.Fatal(err)
	}
	var all struct{ Cases []csvCase }
	if err := json.Unmarshal(b, &all); err != nil {
		t.Fatal(err)
	}
	if len(all.Cases) != 37 {
		t.Fatalf("got %d cases, want 37", len(all.Cases))
	}
	for _, c := range all.Cases {
		t.Run(c.File, func(t *testing.T) {
			t.Parallel()
			runCase(t, dir, c)
		})
	}
}

func runCase(t *testing.T, dir string, c csvCase) {
	ctx, url := t.Context(), dbtest.URL(t)
	p := serveProcess(t, []string{"DATABASE_URL=" + url}, "--data-dir", t.TempDir())
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(ctx)
	for _, e := range c.Existing {
		if _, err := conn.Exec(ctx, `INSERT INTO products (sku, sku_key, name, description, active) VALUES ($1, $2, $3, $4, $5)`,
			e.SKU, importer.SKUKey(e.SKU), e.Name, string(e.Description), e.Active); err != nil {
			t.Fatal(err)
		}
	}

	im := importFile(t, p, filepath.Join(dir, c.File), client.Upload{})
	if im.State != c.Status {
		t.Errorf("state: got %s (%+v), want %s", im.State, im.Error, c.Status)
	}
	switch {
	case c.FileError == nil && im.Error != nil:
		t.Errorf("got error %+v, want none", im.Error)
	case c.FileError != nil && im.Error == nil:
		t.Errorf("got no error, want %s", *c.FileError)
	case c.FileError != nil:
		if im.Error.Code != *c.FileError {
			t.Errorf("error: got %s, want %s", im.Error.Code, *c.FileError)
		}
		for _, name := range c.Names {
			if !strings.Contains(strings.ToLower(im.Error.Message), name) {
				t.Errorf("the message %q does not name %q", im.Error.Message, name)
			}
		}
	}
	if diff := cmp.Diff(c.Counts, im.Counts); diff != "" {
		t.Errorf("counts (-want +got):\n%s", diff)
	}
	if c.Encoding != nil && im.Encoding != *c.Encoding {
		t.Errorf("encoding: got %q, want %q", im.Encoding, *c.Encoding)
	}
	if c.Delimiter != nil && im.Delimiter != *c.Delimiter {
		t.Errorf("delimiter: got %q, want %q", im.Delimiter, *c.Delimiter)
	}

	rejects, err := p.client.Rejects(ctx, im.ID, 0, 100)
	if err != nil {
		t.Fatal(err)
	}
	var got, want []string
	for _, r := range rejects.Items {
		got = append(got, fmt.Sprintf("line %d: %s", r.Line, r.Reason))
	}
	for _, r := range c.Rejects {
		want = append(want, fmt.Sprintf("line %d: %s", r.Line, r.Reason))
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("rejects (-want +got):\n%s", diff)
	}
	compareCatalogue(t, c, catalogue(t, conn))
}

func compareCatalogue(t *testing.T, c csvCase, got []caseProduct) {
	t.Helper()
	if c.SHA256 == "" {
		for i := range got {
			if d := got[i].Description; len(d) > 10_000 {
				sum := sha256.Sum256([]byte(d))
				got[i].Description = caseText(fmt.Sprintf("%d bytes, sha256 %s", len(d), hex.EncodeToString(sum[:])))
			}
		}
		if diff := cmp.Diff(append([]caseProduct{}, c.Products...), got); diff != "" {
			t.Errorf("catalogue (-want +got):\n%s", diff)
		}
		return
	}
	h := sha256.New()
	for _, p := range got {
		fmt.Fprintf(h, "%s\x1f%s\x1f%s\x1f%v\x1e", p.SKU, p.Name, p.Description, p.Active)
	}
	if sum := hex.EncodeToString(h.Sum(nil)); len(got) != c.Count || sum != c.SHA256 {
		t.Errorf("catalogue: got %d products with digest %s, want %d with %s", len(got), sum, c.Count, c.SHA256)
	}
}

// catalogue lists all products by SKU in code point order.
func catalogue(t *testing.T, conn *pgx.Conn) []caseProduct {
	t.Helper()
	rows, err := conn.Query(t.Context(), `SELECT sku, name, description, active FROM products`)
	if err != nil {
		t.Fatal(err)
	}
	got, err := pgx.CollectRows(rows, pgx.RowToStructByPos[caseProduct])
	if err != nil {
		t.Fatal(err)
	}
	slices.SortFunc(got, func(a, b caseProduct) int { return strings.Compare(a.SKU, b.SKU) })
	return append([]caseProduct{}, got...)
}

// importFile uploads a file with the SDK and waits for the end of its import.
func importFile(t *testing.T, p *process, name string, u client.Upload) importer.Import {
	t.Helper()
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	u.Filename, u.Size = filepath.Base(name), info.Size()
	id, err := p.client.Upload(t.Context(), f, u)
	if err != nil {
		t.Fatal(err)
	}
	return watchUntil(t, p, id, func(im importer.Import) bool { return im.State.Ended() })
}
