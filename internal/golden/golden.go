// Package golden is for tests that hold a kept file against what the program
// says: documents that list what the code has. `go test … -update` writes the
// files anew.
package golden

import (
	"flag"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write files that are made of what the program says anew")

// File holds a file, named from the package's directory, against what it is
// to be.
func File(t testing.TB, path, want string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, []byte(want), 0o644); err != nil { //nolint:gosec // G306: for everybody to read
			t.Fatal(err)
		}
	}
	kept, err := os.ReadFile(path) //nolint:gosec // G304: of a test's own choice
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(kept), want); diff != "" {
		t.Errorf("%s is not what the program says; if that was meant to change, go test -run %s -update writes it anew (-kept +said)\n%s", path, t.Name(), diff)
	}
}

// Part does so for what is between <!-- name --> and <!-- /name -->.
func Part(t testing.TB, path, name, want string) {
	t.Helper()
	whole, err := os.ReadFile(path) //nolint:gosec // G304: of a test's own choice
	if err != nil {
		t.Fatal(err)
	}
	before, rest, begins := strings.Cut(string(whole), "<!-- "+name+" -->\n")
	_, after, ends := strings.Cut(rest, "<!-- /"+name+" -->\n")
	if !begins || !ends {
		t.Fatalf("%s has no part %q", path, name)
	}
	File(t, path, before+"<!-- "+name+" -->\n"+want+"<!-- /"+name+" -->\n"+after)
}
