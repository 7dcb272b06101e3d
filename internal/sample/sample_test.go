package sample_test

import (
	"bytes"
	"encoding/csv"
	"strings"
	"testing"

	"importer/internal/sample"
)

func TestWriteIsDeterministic(t *testing.T) {
	t.Parallel()
	write := func(seed uint64) string {
		var b bytes.Buffer
		if _, err := sample.Write(&b, sample.Options{Rows: 2_000, Repeats: 0.05, Bad: 0.01, Seed: seed}); err != nil {
			t.Fatal(err)
		}
		return b.String()
	}
	first := write(7)
	if again := write(7); again != first {
		t.Error("the same seed gave two catalogues")
	}
	if other := write(8); other == first {
		t.Error("two seeds gave the same catalogue")
	}
}

func TestCountsMatchTheFile(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	got, err := sample.Write(&b, sample.Options{Rows: 20_000, Repeats: 0.1, Bad: 0.02, Seed: 3})
	if err != nil {
		t.Fatal(err)
	}
	records, err := csv.NewReader(&b).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	want := sample.Counts{Rows: len(records) - 1}
	seen := map[string]bool{}
	otherCase, multiline := false, false
	for _, r := range records[1:] {
		name, sku := r[0], r[1]
		key := strings.ToLower(sku)
		switch {
		case name == "" || sku == "":
			want.Rejected++
		case seen[key]:
			want.Duplicates++
			otherCase = otherCase || sku == key
		default:
			want.Created++
			seen[key] = true
		}
		multiline = multiline || strings.Contains(r[2], "\n")
	}
	if got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if !otherCase || !multiline {
		t.Errorf("other case %v, line breaks %v: want both", otherCase, multiline)
	}
}

func TestValidate(t *testing.T) {
	t.Parallel()
	for _, o := range []sample.Options{{Rows: -1}, {Repeats: 1.5}, {Bad: -0.1}} {
		if _, err := sample.Write(&bytes.Buffer{}, o); err == nil {
			t.Errorf("%+v was accepted", o)
		}
	}
}
