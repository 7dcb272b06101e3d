package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"

	"github.com/urfave/cli/v3"

	"importer/db"
)

func restoredCommand(stdout, stderr io.Writer) *cli.Command {
	var c config
	return &cli.Command{
		Name:  "restored",
		Usage: "put a database right that was restored from a backup, before the first server starts on it",
		Description: "Clients have seen what the backup does not have: with a new epoch they load everything anew. Everybody signs in again,\n" +
			"for sessions that were ended since the backup are back. It may be run again.",
		Flags: append(append(databaseFlags(&c),
			&cli.BoolFlag{Name: "pause-webhooks", Usage: "switch all webhooks off: for a copy beside the original, which receivers must not hear from"}),
			resultFlag()),
		Action: func(ctx context.Context, cmd *cli.Command) error {
			if cmd.Args().Present() {
				return failed{exitUsage, fmt.Errorf("restored takes no arguments, got %q", cmd.Args().First())}
			}
			if err := c.validate(); err != nil {
				return failed{exitUsage, err}
			}
			say := stdout
			if cmd.Bool("json") {
				say = stderr
			}
			done, err := restored(ctx, &c, cmd.Bool("pause-webhooks"), say, stderr)
			if err != nil {
				return failed{exitFailed, err}
			}
			if cmd.Bool("json") {
				return json.NewEncoder(stdout).Encode(done)
			}
			fmt.Fprintf(stdout, "The history has a new epoch, %s; %d sessions ended.\n", done.Epoch, done.Sessions)
			if done.Tokens > 0 {
				fmt.Fprintf(stdout, "There are %d API tokens, as in the backup: revoke again those that were revoked since.\n", done.Tokens)
			}
			if cmd.Bool("pause-webhooks") {
				fmt.Fprintf(stdout, "%d webhooks are off.\n", done.Webhooks)
			}
			return nil
		},
	}
}

func restored(ctx context.Context, c *config, pauseWebhooks bool, say, stderr io.Writer) (db.Restored, error) {
	log := c.logger(stderr)
	d, err := openDatabase(ctx, c, say, log)
	if err != nil {
		return db.Restored{}, err
	}
	defer d.close(log)
	return d.Restore(ctx, pauseWebhooks)
}
