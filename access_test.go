package importer_test

import (
	"testing"

	"importer"
)

func TestScopesIncludeThoseBefore(t *testing.T) {
	t.Parallel()
	for i, s := range importer.Scopes() {
		for j, other := range importer.Scopes() {
			if got := s.Includes(other); got != (i >= j) {
				t.Errorf("%s includes %s: %v", s, other, got)
			}
		}
		if s.Includes("") || s.Includes("root") || importer.Scope("root").Includes(s) || importer.Scope("").Includes(s) {
			t.Errorf("%s and what is no scope: one includes the other", s)
		}
	}
}
