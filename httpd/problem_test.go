package httpd

import "testing"

func TestPointer(t *testing.T) {
	t.Parallel()
	for location, want := range map[string]string{
		"query.limit":        "limit",
		"query.state[0]":     "state[0]",
		"path.id":            "id",
		"body":               "",
		"body.sku":           "/sku",
		"body.items[3].name": "/items/3/name",
	} {
		if got := pointer(location); got != want {
			t.Errorf("%s: got %q, want %q", location, got, want)
		}
	}
}
