package importer_test

import (
	"strings"
	"testing"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"

	"importer"
)

func TestSKUKey(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		a, b string
		same bool
	}{
		{"ABC-1", "abc-1", true},
		{" A 1\t", "a 1", true},
		{"A\u00a01", "a 1", true},      // NBSP inside is a space
		{"A\u200b1", "a1", true},       // zero-width inside is nothing
		{"\ufeffA1", "a1", true},       // a BOM in front
		{"K-1", "\u212a-1", true},      // Kelvin
		{"é-1", "e\u0301-1", true},     // composed or not
		{"ß-1", "\u1e9e-1", true},      // capital sharp s
		{"ß-1", "ss-1", false},         //
		{"İ-1", "i-1", true},           //
		{"ı-1", "i-1", false},          // dotless
		{"Σ-1", "σ-1", true},           //
		{"ς-1", "σ-1", false},          // final sigma
		{"00123", "123", false},        //
		{"A  1", "A 1", false},         // two spaces are two
		{"\u00c5-1", "å-1", true},      // A with ring
		{"\u212b-1", "\u00e5-1", true}, // angstrom sign
	} {
		got := importer.SKUKey(importer.CleanSKU(c.a)) == importer.SKUKey(importer.CleanSKU(c.b))
		if got != c.same {
			t.Errorf("%q and %q: same %v, want %v", c.a, c.b, got, c.same)
		}
	}
}

func FuzzSKUKey(f *testing.F) {
	for _, s := range []string{"ABC-1", " a\u00a0b ", "\u212b", "İ", "ẞ", "e\u0301", "a\u200bb", "\x00"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if !utf8.ValidString(s) {
			return // never reaches the rules: the record is rejected before
		}
		clean := importer.CleanSKU(s)
		if again := importer.CleanSKU(clean); again != clean {
			t.Errorf("cleaning %q twice: %q, then %q", s, clean, again)
		}
		if !norm.NFC.IsNormalString(clean) {
			t.Errorf("%q cleans to %q, which is not NFC", s, clean)
		}
		// The fast path for ASCII must agree with the rule.
		if want := strings.Map(spaces, strings.ToLower(clean)); importer.SKUKey(clean) != want {
			t.Errorf("key of %q: got %q, want %q", clean, importer.SKUKey(clean), want)
		}
	})
}

func spaces(r rune) rune {
	if strings.ContainsRune("\t\n\v\f\r \u0085\u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u2028\u2029\u202f\u205f\u3000", r) {
		return ' '
	}
	return r
}

func TestCheckProduct(t *testing.T) {
	t.Parallel()
	long := func(n int) string { return strings.Repeat("ñ", n) }
	for _, c := range []struct {
		sku, name, description string
		field, reason          string
	}{
		{"A", "n", "", "", ""},
		{"", "", "", "sku", importer.ReasonMissingSKU},
		{"A\x07B", "n", "", "sku", importer.ReasonInvalidSKU},
		{long(importer.MaxSKU), long(importer.MaxName), strings.Repeat("x", importer.MaxDescription), "", ""},
		{long(importer.MaxSKU + 1), "n", "", "sku", importer.ReasonSKUTooLong},
		{"A", "", "", "name", importer.ReasonMissingName},
		{"A", long(importer.MaxName + 1), "", "name", importer.ReasonNameTooLong},
		{"A", "n", strings.Repeat("x", importer.MaxDescription+1), "description", importer.ReasonDescriptionTooLong},
	} {
		if field, reason := importer.CheckProduct(c.sku, c.name, c.description); field != c.field || reason != c.reason {
			t.Errorf("%.20q %.20q: got %q %q, want %q %q", c.sku, c.name, field, reason, c.field, c.reason)
		}
	}
}
