package actors_test

import (
	"fmt"
	"os"
	"testing"

	"go.uber.org/goleak"

	"importer/db/dbtest"
)

// Every test shuts its System down, so after all of them nothing may run.
func TestMain(m *testing.M) {
	dbtest.Main(m)
	if err := goleak.Find(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
