package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/google/uuid"
	"github.com/urfave/cli/v3"

	"importer"
	"importer/client"
)

func tokenCommand(stdout, stderr io.Writer) *cli.Command {
	return &cli.Command{
		Name:  "token",
		Usage: "create, list and revoke API tokens",
		Description: "They are what programs bring. Where the server asks for credentials, --token is the admin token or an API token\n" +
			"with the scope admin.",
		Commands: []*cli.Command{createTokenCommand(stdout, stderr), listTokensCommand(stdout), revokeTokenCommand(stderr)},
		Action: func(_ context.Context, c *cli.Command) error {
			if c.Args().Present() {
				return failed{exitUsage, fmt.Errorf("there is no command %q (see importer token --help)", c.Args().First())}
			}
			return cli.ShowSubcommandHelp(c)
		},
	}
}

// asking is an action that talks to the server and takes one argument, or none
// when it is called "".
func asking(argument string, f func(context.Context, *cli.Command, *client.Client) error) cli.ActionFunc {
	return func(ctx context.Context, c *cli.Command) error {
		switch given := c.Args().Len(); {
		case argument == "" && given > 0:
			return failed{exitUsage, fmt.Errorf("%s takes no arguments, got %q", c.FullName(), c.Args().First())}
		case argument != "" && given != 1:
			return failed{exitUsage, fmt.Errorf("%s takes one argument, %s, got %d; flags come before it", c.FullName(), argument, given)}
		}
		cl, err := client.New(client.Options{Server: c.String("server"), Token: c.String("token")})
		if err != nil {
			return failed{exitUsage, err}
		}
		return failure(f(ctx, c, cl))
	}
}

func createTokenCommand(stdout, stderr io.Writer) *cli.Command {
	return &cli.Command{
		Name:      "create",
		Usage:     "create a token and print it; nobody can see it again",
		ArgsUsage: "NAME",
		Description: "Scopes, each with those before it: read looks and follows, import uploads, write changes products,\n" +
			"admin does everything. For a variable: IMPORTER_TOKEN=$(importer token create --scope import nightly)",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "scope", Usage: "read, import, write or admin", Value: string(importer.ScopeRead)},
			&cli.IntFlag{Name: "days", Usage: "how long it is good; 0: until it is revoked"},
			serverFlag(), tokenFlag(), resultFlag(),
		},
		Action: asking("NAME", func(ctx context.Context, c *cli.Command, cl *client.Client) error {
			var expires time.Time
			if days := c.Int("days"); days < 0 {
				return failed{exitUsage, errors.New("--days is less than 0")}
			} else if days > 0 {
				expires = time.Now().AddDate(0, 0, days)
			}
			t, err := cl.CreateToken(ctx, c.Args().First(), importer.Scope(c.String("scope")), expires)
			if err != nil {
				return err
			}
			if c.Bool("json") {
				return json.NewEncoder(stdout).Encode(t)
			}
			fmt.Fprintf(stderr, "%s has the scope %s and is shown this once:\n", t.Name, t.Scope)
			fmt.Fprintln(stdout, t.Token)
			return nil
		}),
	}
}

func listTokensCommand(stdout io.Writer) *cli.Command {
	return &cli.Command{
		Name:  "list",
		Usage: "list the tokens, newest first",
		Flags: []cli.Flag{serverFlag(), tokenFlag(), resultFlag()},
		Action: asking("", func(ctx context.Context, c *cli.Command, cl *client.Client) error {
			tokens, err := cl.Tokens(ctx)
			if err != nil {
				return err
			}
			if c.Bool("json") {
				return json.NewEncoder(stdout).Encode(struct {
					Items []importer.Token `json:"items"`
				}{append([]importer.Token{}, tokens...)})
			}
			day := func(t *time.Time, none string) string {
				if t == nil {
					return none
				}
				return t.Local().Format("2006-01-02 15:04")
			}
			table := tabwriter.NewWriter(stdout, 0, 0, 2, ' ', 0)
			fmt.Fprintln(table, "ID\tNAME\tSCOPE\tENDS IN\tCREATED\tLAST USED\tEXPIRES")
			for _, t := range tokens {
				fmt.Fprintf(table, "%s\t%s\t%s\t…%s\t%s\t%s\t%s\n", t.ID, t.Name, t.Scope, t.Hint, day(&t.CreatedAt, ""), day(t.LastUsedAt, "never"), day(t.ExpiresAt, "never"))
			}
			return table.Flush()
		}),
	}
}

func revokeTokenCommand(stderr io.Writer) *cli.Command {
	return &cli.Command{
		Name:      "revoke",
		Usage:     "revoke a token; whoever uses it is out at once",
		ArgsUsage: "ID",
		Flags:     []cli.Flag{serverFlag(), tokenFlag()},
		Action: asking("ID", func(ctx context.Context, c *cli.Command, cl *client.Client) error {
			id, err := uuid.Parse(c.Args().First())
			if err != nil {
				return failed{exitUsage, fmt.Errorf("%q is not the id of a token; importer token list shows them", c.Args().First())}
			}
			if err := cl.RevokeToken(ctx, id); err != nil {
				return err
			}
			fmt.Fprintf(stderr, "%s is revoked.\n", id)
			return nil
		}),
	}
}
