package csvfile_test

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"testing"

	"importer/internal/csvfile"
)

const benchRows = 100_000

// The rows are about 120 bytes long, like those of an export of 500,000
// products in 60 MB.
var words = strings.Repeat("plain words about a thing that is for sale ", 2)

func BenchmarkReader(b *testing.B) {
	for _, kind := range []struct {
		name string
		row  func(i int) string
	}{
		{"plain", func(i int) string { return fmt.Sprintf("SKU-%07d,Product name %d,%s\n", i, i, words) }},
		{"quoted", func(i int) string {
			return fmt.Sprintf("\"sku-%07d\",\"Product, name %d\",\"%s\n12\"\" wide\"\n", i, i, words)
		}},
		{"windows-1252", func(i int) string {
			return fmt.Sprintf("sku-%07d,Cr\xe8me br\xfbl\xe9e %d,%s\x80\n", i, i, words)
		}},
		{"utf-8", func(i int) string { return fmt.Sprintf("sku-%07d,Crème brûlée %d,%s€\n", i, i, words) }},
		{"wide", func(i int) string {
			return fmt.Sprintf("sku-%07d,Name %d,%s%s\n", i, i, words, strings.Repeat(",x", 40))
		}},
	} {
		b.Run(kind.name, func(b *testing.B) {
			var text bytes.Buffer
			text.WriteString("sku,name,description" + strings.Repeat(",more", 40) + "\n")
			for i := range benchRows {
				text.WriteString(kind.row(i))
			}
			b.SetBytes(int64(text.Len()))
			b.ReportAllocs()
			for b.Loop() {
				r := csvfile.Open(bytes.NewReader(text.Bytes()), nil, 0)
				n := 0
				for {
					rec, err := r.Next()
					if err == io.EOF {
						break
					}
					if err != nil || rec.Reject != nil {
						b.Fatal(err, rec.Reject)
					}
					n++
				}
				if n != benchRows {
					b.Fatalf("got %d rows, want %d", n, benchRows)
				}
			}
			b.ReportMetric(benchRows*float64(b.N)/b.Elapsed().Seconds(), "rows/s")
		})
	}
}
