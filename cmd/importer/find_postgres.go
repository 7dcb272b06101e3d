package main

import (
	"context"
	"fmt"
	"io"

	"github.com/urfave/cli/v3"

	"importer/internal/pgserver"
)

// findPostgresCommand is for scripts: it prints the Postgres binaries that
// serve would use, and fails when there are none.
func findPostgresCommand(stdout io.Writer) *cli.Command {
	var c config
	return &cli.Command{
		Name:   "find-postgres",
		Usage:  "print where the Postgres server binaries are",
		Hidden: true,
		Flags:  databaseFlags(&c),
		Action: func(context.Context, *cli.Command) error {
			found, err := pgserver.Discover(pgserver.Options{Root: c.privateRoot(), BinDir: c.pgBin, ToolsDirs: toolsDirs()}, 0)
			if err != nil {
				return failed{exitFailed, err}
			}
			fmt.Fprintln(stdout, found[0].Dir)
			return nil
		},
	}
}
