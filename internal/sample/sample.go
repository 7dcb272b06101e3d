// Package sample writes product catalogues that look like the ones users
// have: made-up goods, descriptions with quotes, commas and line breaks, SKUs
// repeated in another case, and on request some rows that cannot be imported.
// The same options give the same bytes on every machine. `importer sample`,
// the tests and the benchmarks use it.
package sample

import (
	"bufio"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
)

// Options describe a catalogue.
type Options struct {
	Rows    int     // data rows
	Repeats float64 // share of rows, 0 to 1, that repeat an earlier SKU, half of them in another case
	Bad     float64 // share of rows, 0 to 1, that lack a name or a SKU
	Seed    uint64
}

// Counts is what an import of the catalogue into an empty database reports.
type Counts struct {
	Rows       int `json:"rows"`
	Created    int `json:"created"`
	Duplicates int `json:"duplicates"`
	Rejected   int `json:"rejected"`
}

// Validate reports what is wrong with the options.
func (o Options) Validate() error {
	switch {
	case o.Rows < 0:
		return fmt.Errorf("rows must not be negative, got %d", o.Rows)
	case o.Repeats < 0 || o.Repeats > 1:
		return fmt.Errorf("the share of repeated SKUs goes from 0 to 1, got %v", o.Repeats)
	case o.Bad < 0 || o.Bad > 1:
		return fmt.Errorf("the share of bad rows goes from 0 to 1, got %v", o.Bad)
	}
	return nil
}

// Write writes the catalogue as CSV with the columns name, sku, description.
func Write(w io.Writer, o Options) (Counts, error) {
	if err := o.Validate(); err != nil {
		return Counts{}, err
	}
	g := generator{Options: o, rnd: rand.New(rand.NewPCG(o.Seed, 0x70726f64756374)), w: bufio.NewWriterSize(w, 64<<10)}
	g.w.WriteString("name,sku,description\n")
	for range o.Rows {
		g.row()
	}
	// The buffer keeps the first error and gives it back here.
	return g.counts, g.w.Flush()
}

type generator struct {
	Options
	rnd    *rand.Rand
	w      *bufio.Writer
	counts Counts
	line   []byte
}

func (g *generator) row() {
	g.counts.Rows++
	name, sku := g.name(), ""
	switch n := g.counts.Created; {
	case g.rnd.Float64() < g.Bad:
		g.counts.Rejected++
		if g.rnd.IntN(2) == 0 {
			name, sku = "", fmt.Sprintf("BAD-%07d", g.counts.Rejected)
		}
	case n > 0 && g.rnd.Float64() < g.Repeats:
		g.counts.Duplicates++
		sku = g.sku(g.rnd.IntN(n))
		if g.rnd.IntN(2) == 0 {
			sku = strings.ToLower(sku)
		}
	default:
		sku = g.sku(n)
		g.counts.Created++
	}
	g.line = append(append(append(g.line[:0], quote(name)...), ','), sku...)
	g.line = append(append(g.line, ','), quote(g.description())...)
	g.w.Write(append(g.line, '\n'))
}

// sku is the SKU of the n-th product. Neighbours in the file are not
// neighbours in the alphabet: the number is scattered by an odd multiplier,
// which is a bijection on 32 bits, so no two products share a SKU.
func (g *generator) sku(n int) string {
	x := uint32(n) * 2654435761
	return fmt.Sprintf("%s-%08X", families[x%uint32(len(families))], x)
}

func (g *generator) name() string {
	return pick(g.rnd, colours) + " " + pick(g.rnd, materials) + " " + pick(g.rnd, goods)
}

func (g *generator) description() string {
	switch g.rnd.IntN(20) {
	case 0:
		return ""
	case 1:
		return fmt.Sprintf("%s.\nSize: %d\" x %d\"\nCare: %s", pick(g.rnd, lead), 1+g.rnd.IntN(90), 1+g.rnd.IntN(90), pick(g.rnd, care))
	case 2:
		return fmt.Sprintf("%s, \"%s\" series, %d pieces", pick(g.rnd, lead), pick(g.rnd, colours), 1+g.rnd.IntN(12))
	default:
		return fmt.Sprintf("%s. %s. %d g", pick(g.rnd, lead), pick(g.rnd, care), 10+g.rnd.IntN(4000))
	}
}

// quote quotes a field as RFC 4180, section 2, asks, only where it must.
func quote(s string) string {
	if !strings.ContainsAny(s, ",\"\n\r") {
		return s
	}
	return `"` + strings.ReplaceAll(s, `"`, `""`) + `"`
}

func pick(rnd *rand.Rand, words []string) string { return words[rnd.IntN(len(words))] }

var (
	families  = []string{"HOME", "KIT", "GRDN", "OFFC", "TOY", "BATH", "LUM", "TEX"}
	colours   = []string{"Ivory", "Slate", "Terracotta", "Moss", "Midnight", "Blush", "Saffron", "Café", "Graphite", "Sky"}
	materials = []string{"Oak", "Linen", "Steel", "Ceramic", "Glass", "Wool", "Cork", "Brass", "Bamboo", "Stoneware"}
	goods     = []string{"Lamp", "Tray", "Mug", "Cushion", "Stool", "Planter", "Bowl", "Blanket", "Clock", "Carafe", "Shelf", "Basket"}
	lead      = []string{"Hand-finished in small batches", "A quiet everyday classic", "Made to be repaired, not replaced", "Designed for small kitchens", "Stacks, nests and travels well", "Fits most standard mounts"}
	care      = []string{"Wipe with a damp cloth", "Dishwasher safe", "Machine wash at 30°C", "Keep out of direct sun", "Oil twice a year"}
)
