package main

import (
	"context"
	"fmt"
	"io"

	"github.com/urfave/cli/v3"
)

func migrateCommand(stdout, stderr io.Writer) *cli.Command {
	var c config
	return &cli.Command{
		Name:  "migrate",
		Usage: "bring the database to this version's schema, then exit",
		Flags: databaseFlags(&c),
		Action: func(ctx context.Context, _ *cli.Command) error {
			if err := c.validate(); err != nil {
				return failed{exitUsage, err}
			}
			log := c.logger(stderr)
			d, err := openDatabase(ctx, &c, stdout, log)
			if err != nil {
				return failed{exitFailed, err}
			}
			d.close(log)
			fmt.Fprintln(stdout, "The database is up to date.")
			return nil
		},
	}
}
