package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"github.com/urfave/cli/v3"
)

func migrateCommand(stdout, stderr io.Writer) *cli.Command {
	var c config
	return &cli.Command{
		Name:  "migrate",
		Usage: "bring the database to this version's schema, then exit",
		Description: "serve does so, too, when it starts; a deployment may do it before. Machines that run the release before go on\n" +
			"working meanwhile, and several may migrate at once.",
		Flags: append(databaseFlags(&c), resultFlag()),
		Action: func(ctx context.Context, cmd *cli.Command) error {
			if err := c.validate(); err != nil {
				return failed{exitUsage, err}
			}
			say := stdout
			if cmd.Bool("json") {
				say = stderr
			}
			applied, err := migrate(ctx, &c, say, stderr)
			if err != nil {
				return failed{exitFailed, err}
			}
			switch {
			case cmd.Bool("json"):
				return json.NewEncoder(stdout).Encode(map[string][]string{"applied": applied})
			case len(applied) > 0:
				fmt.Fprintf(stdout, "Applied %s.\n", strings.Join(applied, ", "))
			}
			fmt.Fprintln(stdout, "The database is up to date.")
			return nil
		},
	}
}

// migrate returns what was missing; never nil.
func migrate(ctx context.Context, c *config, say, stderr io.Writer) ([]string, error) {
	log := c.logger(stderr)
	d, err := startDatabase(ctx, c, say, log)
	if err != nil {
		return nil, err
	}
	defer d.close(log)
	missing, err := d.Unmigrated(ctx)
	if err != nil {
		return nil, err
	}
	return append([]string{}, missing...), d.Migrate(ctx)
}
