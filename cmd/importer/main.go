// Command importer is the whole program: the server and the tools around it.
// It is the only place that wires the adapters together.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/urfave/cli/v3"
)

// Exit codes beside 0.
const (
	exitFailed  = 1 // what was asked for did not succeed
	exitUsage   = 2 // the command line is wrong
	exitRejects = 3 // import --strict: completed, with rejected rows
)

// failed ends the program with a code and a sentence.
type failed struct {
	code int
	err  error
}

func (f failed) Error() string { return f.err.Error() }
func (f failed) Unwrap() error { return f.err }

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	// A second signal ends the program at once.
	context.AfterFunc(ctx, stop)
	os.Exit(run(ctx, os.Args, os.Stdout, os.Stderr))
}

// run is main with its surroundings passed in; it returns the exit code.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	err := command(stdout, stderr).Run(ctx, args)
	if err == nil {
		return 0
	}
	if errors.Is(err, context.Canceled) && ctx.Err() != nil {
		return 128 + int(syscall.SIGINT)
	}
	fmt.Fprintln(stderr, "importer:", err)
	if f, ok := errors.AsType[failed](err); ok {
		return f.code
	}
	return exitUsage
}

func command(stdout, stderr io.Writer) *cli.Command {
	usage := func(_ context.Context, c *cli.Command, err error, _ bool) error {
		return failed{exitUsage, fmt.Errorf("%w (see %s --help)", err, c.FullName())}
	}
	root := &cli.Command{
		Name:           "importer",
		Usage:          "take product catalogues from CSV files into Postgres, live",
		Version:        version,
		Writer:         stdout,
		ErrWriter:      stderr,
		OnUsageError:   usage,
		ExitErrHandler: func(context.Context, *cli.Command, error) {}, // run decides
		Commands: []*cli.Command{
			serveCommand(stdout, stderr),
			importCommand(stdout, stderr),
			watchCommand(stdout, stderr),
			sampleCommand(stdout, stderr),
			migrateCommand(stdout, stderr),
			healthcheckCommand(),
			findPostgresCommand(stdout),
		},
		Action: func(_ context.Context, c *cli.Command) error {
			if c.Args().Present() {
				return failed{exitUsage, fmt.Errorf("there is no command %q (see importer --help)", c.Args().First())}
			}
			return cli.ShowRootCommandHelp(c)
		},
	}
	for _, sub := range root.Commands {
		sub.OnUsageError = usage
	}
	return root
}
